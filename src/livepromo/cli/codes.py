"""livepromo codes import: the codes that bulk coupons and voucher lists give."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from livepromo.cli.check import no_options
from livepromo.cli.errors import InputError, UnfitError
from livepromo.cli.naming import unknown
from livepromo.cli.output import progress, put, say
from livepromo.cli.surroundings import partitions
from livepromo.documents.catalogue import Catalogue
from livepromo.model.documents import Coupon, CouponType, VoucherList
from livepromo.model.ids import partition_of
from livepromo.model.json_text import json_bytes
from livepromo.settings import load
from livepromo.telemetry import clock


def _no_option(_: object, file: str) -> None:
    no_options(_, [file])


async def import_codes(
    pool: str, file: Annotated[str, Parameter(allow_leading_hyphen=True, validator=_no_option)], /, *, json: bool = False
) -> None:
    """Add the codes of a file, one per line, to those that a bulk coupon or a voucher list gives.

    Codes are taken as they are written, without blanks around them. One that the pool has is not added again, so the same file can be
    imported again, also after it was interrupted. Lines that hold no code are named by number; no code is ever shown.
    Two imports into one pool follow one another. Running workers give the codes at once.

    Example: `livepromo codes import coupon/spring-10 codes.txt.gz`

    Args:
        pool: coupon/ID, or voucher_list/PARTNER/TAG, as published.
        file: The codes: plain, .gz, or - for standard input.
        json: Write {pool, added, duplicate, invalid, size} as JSON; size is how many codes the pool has then.
    """
    from livepromo.simulation.files import read_lines, size_bytes  # noqa: PLC0415 - slow to import
    from livepromo.worker.importing import CodeImport  # noqa: PLC0415
    from livepromo.worker.publishing_changes import kafka_log, read_catalogue  # noqa: PLC0415

    settings = load()
    topic = settings.topic("codes")
    there = await partitions(settings, "catalogue", "candidates", "codes")
    if there[topic] != there[settings.topic("candidates")]:
        raise UnfitError(f"{topic} has {there[topic]} partitions, {settings.topic('candidates')} another number: see livepromo init")
    _check_gives_codes(pool, await read_catalogue(settings))
    with progress("importing", size_bytes([file])) as moved:
        async with kafka_log(settings) as log:
            work = CodeImport(log, topic, partition_of(pool, there[topic]), pool, monotonic=clock.monotonic_s, told=say)
            imported = await work.run(read_lines([file], moved))
    for number, problem in imported.lines:
        say(f"{file}: line {number}: {problem.value}")
    if imported.invalid > len(imported.lines):
        say(f"{file}: {imported.invalid - len(imported.lines)} more lines hold no code")
    duplicate = imported.repeated + imported.had
    if json:
        put(
            json_bytes(
                {"pool": pool, "added": imported.added, "duplicate": duplicate, "invalid": imported.invalid, "size": imported.size}
            ).decode()
        )
    where = f" ({imported.repeated} in the file, {imported.had} in the pool)" if duplicate else ""
    say(f"{pool}: {imported.added} added, {duplicate} duplicate{where}, {imported.invalid} invalid; the pool has {imported.size}")
    if not imported.added and not duplicate:
        raise InputError(f"{file} holds no code: write one per line, in UTF-8")


def _check_gives_codes(pool: str, catalogue: Catalogue) -> None:
    """Raise InputError unless codes can be imported into what is published under this name."""
    entry = catalogue.entries.get(pool)
    document = None if entry is None else entry.document
    if isinstance(document, Coupon):
        if document.coupon_type is not CouponType.BULK:
            raise InputError(f"{pool} gives everyone the one code of its document (type: single): codes are imported for type: bulk")
    elif not isinstance(document, VoucherList):
        pools = [
            key
            for key, one in catalogue.entries.items()
            if isinstance(one.document, VoucherList) or (isinstance(one.document, Coupon) and one.document.coupon_type is CouponType.BULK)
        ]
        raise unknown("bulk coupon or voucher list", pool, pools)
