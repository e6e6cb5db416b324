"""livepromo get: what is published, and what is left of it?"""

from __future__ import annotations

from typing import Any

from livepromo.cli.naming import unknown
from livepromo.cli.output import put, say, table
from livepromo.cli.surroundings import partitions
from livepromo.documents.catalogue import Catalogue, Entry, campaign_state
from livepromo.model.amounts import amount_text
from livepromo.model.documents import KINDS, Campaign
from livepromo.model.ids import CampaignId, partition_of
from livepromo.model.json_text import json_bytes
from livepromo.settings import Settings, load
from livepromo.telemetry import clock


async def get(kind: str | None = None, name: str | None = None, /, *, json: bool = False) -> None:
    """Show what is published: state, revision, and what is left of budgets.

    Where Redis is away, what was spent is not known, and the rest is shown.

    Example: `livepromo get campaign cart-rescue --json`

    Args:
        kind: Only documents of this kind: campaign, wallet, coupon and others; or one document, as KIND/ID.
        name: Only the document of this id.
        json: Write an array of {kind, id, state, revision, first_published, published, by, budget, spent, left, document}; times are in
            milliseconds, amounts of the document in thousandths.
    """
    from livepromo.worker.publishing_changes import read_catalogue  # noqa: PLC0415 - slow to import

    settings = load()
    there = await partitions(settings, "catalogue", "candidates", "ledger")
    catalogue = await read_catalogue(settings)
    entries = chosen(catalogue, kind, name)
    campaigns = [entry.document.id for entry in entries.values() if isinstance(entry.document, Campaign)]
    spent = await _spent(settings, {one: partition_of(one, there[settings.topic("candidates")]) for one in campaigns})
    shown = [_shown(key, entry, catalogue, spent, clock.wall_ms()) for key, entry in entries.items()]
    if json:
        put(json_bytes(shown).decode())
    else:
        columns = ["document", "state", "revision", "budget", "spent", "left"]
        table(columns, [[f"{one['kind']}/{one['id']}", *(_cell(one[column]) for column in columns[1:])] for one in shown])


def chosen(catalogue: Catalogue, kind: str | None, name: str | None) -> dict[str, Entry]:
    """Return the entries that are asked for, by kind/id in order. Raises InputError for a kind that is none, an id that nothing has."""
    entries = dict(sorted(catalogue.entries.items()))
    if kind is None:
        return entries
    if name is None and "/" in kind:
        kind, _, name = kind.partition("/")
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    of_kind = {key: entry for key, entry in entries.items() if key.startswith(f"{kind}/")}
    if name is None:
        return of_kind
    if f"{kind}/{name}" not in of_kind:
        raise unknown(kind, name, (str(entry.document.id) for entry in of_kind.values()))
    return {f"{kind}/{name}": of_kind[f"{kind}/{name}"]}


async def _spent(settings: Settings, homes: dict[CampaignId, int]) -> dict[CampaignId, int]:
    """Return what the campaigns have given, in smallest units, each asked for in its partition; those that are not known are left out."""
    from livepromo.ledger.redis_table import RedisTable  # noqa: PLC0415 - slow to import
    from livepromo.ledger.table import UnavailableError  # noqa: PLC0415
    from livepromo.worker.publishing_changes import kafka_log  # noqa: PLC0415
    from livepromo.worker.watching import spent_units  # noqa: PLC0415

    spent: dict[CampaignId, int] = {}
    lost: set[int] = set()
    table = RedisTable(settings.redis, settings.namespace)
    try:
        async with kafka_log(settings) as log:
            for campaign, number in homes.items():
                applied, _ = await table.progress(number)
                if applied is None and await log.end(settings.topic("ledger"), number) > 0:
                    lost.add(number)
                else:
                    spent[campaign] = await spent_units(table, number, campaign)
    except UnavailableError as error:
        say(f"redis at {settings.redis_address} cannot be asked what was spent: {error}")
    finally:
        await table.close()
    for number in sorted(lost):
        say(f"redis has lost partition {number} of the ledger, so what was spent there is not shown: see livepromo ledger verify")
    return spent


def _shown(key: str, entry: Entry, catalogue: Catalogue, spent: dict[CampaignId, int], now_ms: int) -> dict[str, Any]:
    from msgspec import Raw, to_builtins  # noqa: PLC0415 - slow to import

    from livepromo.worker.watching import budget_units, shown_state  # noqa: PLC0415 - slow to import

    document = entry.document
    amounts: dict[str, Any] = {"budget": None, "spent": None, "left": None}
    if isinstance(document, Campaign):
        limit, decimals = budget_units(document, catalogue)
        used = spent.get(document.id)
        state = campaign_state(entry, now_ms)
        if used is not None:
            state = shown_state(state, limit, used)
        units = {"budget": limit, "spent": used, "left": None if limit is None or used is None else max(0, limit - used)}
        amounts = {name: None if one is None else Raw(amount_text(one, decimals).encode()) for name, one in units.items()}
    else:
        state = "active" if getattr(document, "active", True) else "inactive"
    kind, _, name = key.partition("/")
    return {
        "kind": kind,
        "id": name,
        "state": state,
        "revision": entry.revision,
        "first_published": entry.first_published_ms,
        "published": entry.published_ms,
        "by": entry.by,
        **amounts,
        "document": to_builtins(document),
    }


def _cell(value: Any) -> str:  # noqa: ANN401 - a cell of any column
    from msgspec import Raw  # noqa: PLC0415 - slow to import

    if value is None:
        return ""
    return bytes(value).decode() if isinstance(value, Raw) else str(value)
