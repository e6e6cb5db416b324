"""livepromo get: what is published, and what is left of it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from livepromo.cli.naming import unknown
from livepromo.cli.output import put, say, table
from livepromo.cli.surroundings import partitions
from livepromo.documents.catalogue import Catalogue, Entry
from livepromo.model.amounts import amount_text
from livepromo.model.documents import KINDS, Campaign, Coupon, Document, Segment, UserList
from livepromo.model.ids import CampaignId, partition_of
from livepromo.model.json_text import json_bytes
from livepromo.settings import Settings, load
from livepromo.telemetry import clock

if TYPE_CHECKING:
    from livepromo.engine.state import State
    from livepromo.ledger.redis_table import RedisTable
    from livepromo.streaming.kafka_log import KafkaLog
    from livepromo.worker.watching import Codes


async def get(kind: str | None = None, name: str | None = None, /, *, json: bool = False) -> None:
    """Show what is published: state, revision, and what is left of budgets and codes.

    Where Redis is away, what was spent is not known, and the rest is shown. A code is never shown. Of a campaign that is being prepared
    or sent it is said in how many partitions it has been; of lists and fed segments, where they are asked for, how many users are in
    them. For that the partitions' states are read, which takes seconds where there are millions of users.

    Example: `livepromo get campaign cart-rescue --json`

    Args:
        kind: Only documents of this kind: campaign, wallet, coupon and others; or one document, as KIND/ID.
        name: Only the document of this id.
        json: Write an array of {kind, id, state, revision, first_published, published, by, budget, spent, left, codes, codes_left,
            progress, users, document}; progress is {done, of} partitions; times are in milliseconds, amounts of the
            document in thousandths.
    """
    from livepromo.worker.publishing_changes import read_catalogue  # noqa: PLC0415 - slow to import

    settings = load()
    there = await partitions(settings, "catalogue", "candidates", "ledger", "codes", "state")
    catalogue = await read_catalogue(settings)
    entries = chosen(catalogue, kind, name)
    used = await _used(settings, catalogue, entries, there[settings.topic("candidates")])
    now_ms = clock.wall_ms()
    standing = await _standing(settings, there[settings.topic("state")], catalogue, entries, now_ms, with_users=kind is not None)
    shown = [_shown(key, entry, catalogue, used, standing) for key, entry in entries.items()]
    if json:
        put(json_bytes(shown).decode())
    else:
        columns = ["state", "revision", "budget", "spent", "left"]
        if any(one["codes"] is not None for one in shown):
            columns += ["codes", "codes_left"]
        columns += [column for column in ("progress", "users") if any(one[column] is not None for one in shown)]
        head = ["document", *(column.replace("_", " ") for column in columns)]
        table(head, [[f"{one['kind']}/{one['id']}", *(_cell(one[column]) for column in columns)] for one in shown])


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


class _Standing:
    """What the partitions say by now: their states, where anything depends on them, and how many are in which fed segment or list."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.states: list[State] = []
        self.members: dict[str, int] = {}


async def _standing(  # noqa: PLR0913 - what is asked, of whom
    settings: Settings, partitions: int, catalogue: Catalogue, entries: dict[str, Entry], now_ms: int, *, with_users: bool
) -> _Standing:
    from livepromo.worker.publishing_changes import kafka_log  # noqa: PLC0415 - slow to import
    from livepromo.worker.standing import Members, depends_on_partitions, standing  # noqa: PLC0415

    found = _Standing(now_ms)
    members = Members(name for entry in entries.values() if (name := _fed(entry.document)) is not None) if with_users else None
    if (members is not None and members.of) or any(depends_on_partitions(catalogue, entry, now_ms) for entry in entries.values()):
        async with kafka_log(settings) as log:
            found.states = await standing(log, settings, partitions, members)
        if members is not None:
            found.members = {name: len(users) for name, users in members.of.items()}
    return found


def _fed(document: Document) -> str | None:
    """Return the name of the memberships that make a list or a segment; None for what is no list, nor fed."""
    if isinstance(document, UserList):
        return f"list/{document.id}"
    return document.id if isinstance(document, Segment) and document.who is None else None


class _Used:
    """What is known of what was used up: by campaign in smallest units, by pool its codes."""

    def __init__(self) -> None:
        self.spent: dict[CampaignId, int] = {}
        self.codes: dict[str, Codes] = {}


async def _used(settings: Settings, catalogue: Catalogue, entries: dict[str, Entry], partitions: int) -> _Used:
    """Return what was used up of the entries, each asked for in its partition; what is not known is left out."""
    from livepromo.engine.limits import most_of  # noqa: PLC0415 - slow to import
    from livepromo.engine.owing import home_of, own_pool, pool_of  # noqa: PLC0415
    from livepromo.ledger.redis_shelf import NoChunks  # noqa: PLC0415
    from livepromo.ledger.redis_table import RedisTable  # noqa: PLC0415
    from livepromo.ledger.table import UnavailableError  # noqa: PLC0415
    from livepromo.worker.connecting import redis_of  # noqa: PLC0415
    from livepromo.worker.pools import codes_of_now  # noqa: PLC0415
    from livepromo.worker.publishing_changes import kafka_log  # noqa: PLC0415
    from livepromo.worker.shelf import TopicShelf  # noqa: PLC0415
    from livepromo.worker.watching import spent_units  # noqa: PLC0415

    used, lost = _Used(), _Lost(settings)
    table = RedisTable(redis_of(settings), settings.namespace)
    try:
        async with kafka_log(settings) as log:
            shelf = TopicShelf(log, settings.topic("codes"), partitions, NoChunks(), monotonic=clock.monotonic_s)
            for entry in entries.values():
                document = entry.document
                pool = pool_of(document.reward) if isinstance(document, Campaign) else own_pool(document)
                home = home_of(document) if isinstance(document, Campaign) else pool
                if home is None:
                    continue
                number = partition_of(home, partitions)
                if pool is not None and pool not in used.codes:  # exact, though the table may have lost what was given
                    used.codes[pool] = await codes_of_now(log, settings.topic("ledger"), table, shelf, number, pool)
                if isinstance(document, Campaign) and not await lost.has_lost(table, log, number):
                    used.spent[document.id] = await spent_units(table, number, document.id, most_of(document, catalogue).slot)
    except UnavailableError as error:
        say(f"redis at {settings.redis_address} cannot be asked what was spent: {error}")
    finally:
        await table.close()
    for number in sorted(lost.partitions):
        say(f"redis has lost partition {number} of the ledger, so what was spent there is not shown: see livepromo ledger verify")
    return used


class _Lost:
    """Which partitions of the ledger Redis has lost."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic("ledger")
        self.partitions: set[int] = set()

    async def has_lost(self, table: RedisTable, log: KafkaLog, number: int) -> bool:
        """Say whether the table holds nothing of a partition that has decisions."""
        if number not in self.partitions:
            applied, _ = await table.progress(number)
            if applied is None and await log.end(self._topic, number) > 0:
                self.partitions.add(number)
        return number in self.partitions


def _shown(key: str, entry: Entry, catalogue: Catalogue, used: _Used, standing: _Standing) -> dict[str, Any]:
    from msgspec import Raw, to_builtins  # noqa: PLC0415 - slow to import

    from livepromo.engine.limits import most_of  # noqa: PLC0415 - slow to import
    from livepromo.engine.owing import own_pool, pool_of  # noqa: PLC0415
    from livepromo.worker.standing import stands  # noqa: PLC0415
    from livepromo.worker.watching import shown_state  # noqa: PLC0415

    document = entry.document
    progress: tuple[int, int] | None = None
    fed = _fed(document)
    amounts: dict[str, Any] = {"budget": None, "spent": None, "left": None}
    pool = pool_of(document.reward) if isinstance(document, Campaign) else own_pool(document)
    codes = None if pool is None else used.codes.get(pool)
    if isinstance(document, Campaign):
        limit, decimals, _ = most_of(document, catalogue)
        spent = used.spent.get(document.id)
        state, progress = stands(catalogue, entry, standing.now_ms, standing.states)
        state = shown_state(state, None if spent is None else limit, spent or 0, None if codes is None else codes.left)
        units = {"budget": limit, "spent": spent, "left": None if limit is None or spent is None else max(0, limit - spent)}
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
        "codes": None if codes is None else codes.size,
        "codes_left": None if codes is None else codes.left,
        "progress": None if progress is None else {"done": progress[0], "of": progress[1]},
        "users": None if fed is None else standing.members.get(fed),
        "document": to_builtins(_without_code(document)),
    }


def _without_code(document: Document) -> Document:
    """Return the document without the one code that a coupon may have: whoever may look here need not know it."""
    from msgspec.structs import replace  # noqa: PLC0415 - slow to import

    return replace(document, code=None) if isinstance(document, Coupon) else document


def _cell(value: Any) -> str:  # noqa: ANN401 - a cell of any column
    from msgspec import Raw  # noqa: PLC0415 - slow to import

    if value is None:
        return ""
    if isinstance(value, dict):
        return f"{value['done']} of {value['of']} partitions"
    return bytes(value).decode() if isinstance(value, Raw) else str(value)
