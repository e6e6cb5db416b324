"""`livepromo dev`: everything in one command, nothing else needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from livepromo.documents.reading import ReadDocument

_MOST_GENTLE = 200
_MOST = 2_000
_MOST_WORKERS = 8
_Files = Annotated[list[str] | None, Parameter(consume_multiple=True)]


def dev(  # noqa: PLR0913 - its options
    *,
    documents: _Files = None,
    rate: float = 20,
    seed: int = 1,
    seconds: float | None = None,
    record: str | None = None,
    verify: bool = False,
    broker: Literal["embedded", "kafka"] = "embedded",
    workers: int = 1,
) -> int:
    """Try it: an embedded broker and Redis, sample documents, lively traffic, a worker in a process of its own, and its grants.

    The broker is a mock that plays Kafka: one worker, gentle traffic, and nothing is kept. With `--broker kafka` it is the real thing
    (from a checkout, with Java and Maven). Grants go to standard output, everything else to standard error. Ctrl-C ends it.

    Example: `livepromo dev --seconds 60 --verify`

    Args:
        documents: YAML or JSON files, or directories of them, instead of the samples. Events are Signed Up, Product Viewed, Added To
            Cart, Charged and Review Written, with Category, Product ID, Amount, Order ID, Stars.
        rate: Records a second.
        seed: What the traffic is drawn from: the same seed, the same traffic.
        seconds: End after so long.
        record: Write every record sent there, a JSON line each, as `livepromo simulate --events` takes them.
        verify: At the end, compare what was granted and denied with a simulation over what was sent; exit 1 if it is not the same.
        broker: embedded, or kafka.
        workers: How many worker processes; more than one only with `--broker kafka`.
    """
    import os  # noqa: PLC0415 - `dev --help` needs none of all this
    import sys  # noqa: PLC0415

    from livepromo.cli.output import table  # noqa: PLC0415
    from livepromo.sandbox import running  # noqa: PLC0415
    from livepromo.sandbox.showing import Screen  # noqa: PLC0415

    kafka = broker == "kafka"
    _check(rate, seconds, workers, record, kafka=kafka)
    timezone = _timezone(os.environ)
    where = documents or [str(_samples())]
    asked = running.Asked(
        documents=_read(where, timezone),
        where=where,
        rate=rate,
        seed=seed,
        seconds=seconds,
        record=record,
        verify=verify,
        kafka=kafka,
        workers=workers,
    )
    return running.run(asked, os.environ, Screen(timezone), lambda head, rows: table(head, rows, sys.stderr))


def _check(rate: float, seconds: float | None, workers: int, record: str | None, *, kafka: bool) -> None:
    from pathlib import Path  # noqa: PLC0415

    from livepromo.cli.errors import UsageError  # noqa: PLC0415

    most = _MOST if kafka else _MOST_GENTLE
    if not 0 < rate <= most:
        more = "" if kafka else ", as an embedded broker can bear; --broker kafka bears more"
        raise UsageError(f"--rate is {rate:g}: more than 0 and at most {most} records a second{more}")
    if seconds is not None and not seconds > 0:
        raise UsageError(f"--seconds is {seconds:g}: more than 0")
    if not 1 <= workers <= _MOST_WORKERS:
        raise UsageError(f"--workers is {workers}: from 1 to {_MOST_WORKERS}")
    if workers > 1 and not kafka:
        raise UsageError(f"--workers is {workers}: the embedded broker serves one worker; add --broker kafka")
    if record is not None:
        try:
            Path(record).open("wb").close()
        except (OSError, ValueError) as error:
            raise UsageError(f"--record {record} cannot be written: {getattr(error, 'strerror', None) or error}") from None


def _timezone(environ: Mapping[str, str]) -> str:
    """Return the account's zone, by which documents are read and times shown."""
    from livepromo.sandbox.running import OURS  # noqa: PLC0415
    from livepromo.settings import load  # noqa: PLC0415

    return load({name: value for name, value in environ.items() if name in OURS}).timezone


def _samples() -> Path:
    from pathlib import Path  # noqa: PLC0415

    from livepromo import sandbox  # noqa: PLC0415

    assert sandbox.__file__ is not None
    return Path(sandbox.__file__).with_name("samples")


def _read(paths: list[str], timezone: str) -> list[ReadDocument]:
    from livepromo.cli.problems import refuse_errors  # noqa: PLC0415
    from livepromo.documents.files import read_files  # noqa: PLC0415
    from livepromo.documents.references import check_documents  # noqa: PLC0415
    from livepromo.telemetry import clock  # noqa: PLC0415

    read, problems = read_files(paths, timezone)
    refuse_errors([*problems, *check_documents(read, None, now_ms=clock.wall_ms(), strict=False)])
    return read
