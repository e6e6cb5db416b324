"""What becomes of a candidate: a grant within every limit, with a code where it needs one, or a denial with the first that fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from livepromo.model.decisions import AMOUNT_REASONS, Candidate, Denial, Grant, Limit, Reason

Row = dict[str, int]  # slot → used
Add = tuple[str, str, int]  # row, slot, how much

AMOUNT = "amount"
TAKEN = "taken"
PERIODS_KEPT = 3
MOST_USED = (1 << 63) - 1  # rows are kept in numbers of 64 bits; the largest cap is 10^15 with three decimals, far below
_NOTHING: Row = {}
_POOL = "@"  # a campaign's id does not begin with it


class Stock(msgspec.Struct, frozen=True, gc=False):
    """Codes of a pool from index `start` on, as far as they were fetched, and how many the pool has in all. `repr` shows no code."""

    start: int
    codes: tuple[str, ...]
    size: int

    def __repr__(self) -> str:
        """Say which codes these are, and none of them."""
        return f"Stock({len(self.codes)} codes from {self.start} on, of {self.size})"


NO_STOCKS: Mapping[str, Stock] = {}


def pool_row(pool: str) -> str:
    """Return the name of a pool's row, whose slot `taken` is the cursor: codes below it were given; it only grows."""
    return _POOL + pool


def keeps_all(row_name: str) -> bool:
    """Say whether the row keeps every slot: a campaign's and a pool's do, a user's (`campaign/user`) the newest three periods of a kind."""
    return "/" not in row_name or row_name.startswith(_POOL)


def rows_of(candidates: Iterable[Candidate]) -> set[str]:
    """Return the names of the rows that deciding the candidates looks at."""
    names: set[str] = set()
    for candidate in candidates:
        names.update([limit.row for limit in candidate.limits])
        if candidate.pool is not None:
            names.add(pool_row(candidate.pool))
    return names


def taken_of(rows: Mapping[str, Row], pool: str) -> int:
    """Return how many codes of a pool have been given."""
    return rows.get(pool_row(pool), _NOTHING).get(TAKEN, 0)


def _oldest(row: Row, kind: str) -> int | None:
    """Return the oldest period kept of a kind, or None while none of that kind has been dropped."""
    if len(row) < PERIODS_KEPT:
        return None
    kept = [int(slot[len(kind) :]) for slot in row if slot.startswith(kind)]
    return min(kept) if len(kept) >= PERIODS_KEPT else None


def _forgotten(row: Row, slot: str) -> bool:
    """Say whether a slot that a user's row does not have is a period older than those kept, hence not known to be empty."""
    kind, colon, ordinal = slot.partition(":")
    oldest = _oldest(row, kind + colon) if colon else None
    return oldest is not None and int(ordinal) < oldest


def add(row: Row, slot: str, much: int, *, keeps_all: bool) -> None:
    """Add to one slot of `row`, in place: the one place where a row changes.

    Unless the row keeps all, a fourth period of a kind drops the oldest, and one older than the three kept is not added.
    A slot ends at `MOST_USED`: without a cap it grows for as long as the campaign lives.
    """
    if slot in row:
        used = row[slot] + much
        row[slot] = used if used < MOST_USED else MOST_USED  # noqa: FURB136 - min() costs a call for every slot of every grant
        return
    if not keeps_all and len(row) >= PERIODS_KEPT and ":" in slot:
        if _forgotten(row, slot):
            return
        kind = slot[: slot.index(":") + 1]
        oldest = _oldest(row, kind)
        if oldest is not None:
            del row[f"{kind}{oldest}"]
    row[slot] = much


def _denial(candidate: Candidate, limit: Limit, used: int) -> Denial:
    return Denial(
        campaign=candidate.campaign,
        revision=candidate.revision,
        user=candidate.user,
        decided_at_ms=candidate.decided_at_ms,
        cause=candidate.cause,
        reason=limit.reason,
        limit=limit.cap,
        used=used,
        requested=candidate.amount_units if limit.reason in AMOUNT_REASONS else None,
        resets_at_ms=limit.resets_at_ms,
        decimals=candidate.decimals,
    )


def decide(rows: Mapping[str, Row], candidate: Candidate, stock: Stock | None = None) -> Grant | Denial:
    """Return what becomes of `candidate` where `rows` have been used so far; a row that is missing is an empty one.

    After all limits, a candidate with a pool takes the pool's next code, out of `stock`, which must reach so far; with none left it is
    denied, and nothing is used up.
    """
    decision = within_limits(rows, candidate)
    if candidate.pool is None or isinstance(decision, Denial):
        return decision
    assert stock is not None, f"no codes of {candidate.pool} were fetched"
    cursor = taken_of(rows, candidate.pool)
    if cursor >= stock.size:
        return Denial(
            candidate.campaign, candidate.revision, candidate.user, candidate.decided_at_ms, candidate.cause, Reason.CODES_EXHAUSTED
        )
    at = cursor - stock.start
    assert 0 <= at < len(stock.codes), f"{candidate.pool}: code {cursor} is wanted of {stock!r}"
    return Grant(candidate, decision.amount_units, (*decision.adds, (pool_row(candidate.pool), TAKEN, 1)), stock.codes[at])


def within_limits(rows: Mapping[str, Row], candidate: Candidate) -> Grant | Denial:
    """Return what becomes of `candidate` within its limits; no code is taken yet.

    Limits are looked at in the order in which they stand, and the first that fails is the denial: `used + add <= cap` must hold.
    Where the candidate is partial, the amount shrinks to the least that is left of any budget, as long as each has something left.
    A period that the user's row no longer keeps counts as used up. The candidate names each slot of a row at most once.
    """
    amount = candidate.amount_units
    adds: list[Add] = []
    for limit in candidate.limits:
        name, slot, cap, much = limit.row, limit.slot, limit.cap, limit.add
        row = rows.get(name, _NOTHING)
        used = row.get(slot)
        if used is None:
            used = 0
            if row and not keeps_all(name) and _forgotten(row, slot):
                if cap is not None:
                    return _denial(candidate, limit, cap)
                continue
        if cap is not None and used + much > cap:
            if not candidate.partial or slot != AMOUNT or used >= cap:
                return _denial(candidate, limit, used)
            amount = min(amount, cap - used)
        adds.append((name, slot, much))
    if amount != candidate.amount_units:
        adds = [(name, slot, amount if slot == AMOUNT else much) for name, slot, much in adds]
    return Grant(candidate, amount, tuple(adds))


def decide_all(
    rows: Mapping[str, Row], candidates: Iterable[Candidate], stocks: Mapping[str, Stock] = NO_STOCKS
) -> tuple[list[Grant | Denial], dict[str, Row]]:
    """Return what becomes of each candidate, in order, and the rows that changed. Later ones see what earlier ones used; `rows` stay.

    `stocks` hold the next codes of every pool of the candidates, as many as there are candidates of it, or all that are left.
    """
    now = dict(rows)
    changed: dict[str, Row] = {}
    decisions: list[Grant | Denial] = []
    for candidate in candidates:
        pool = candidate.pool
        decision = within_limits(now, candidate) if pool is None else decide(now, candidate, stocks.get(pool))
        decisions.append(decision)
        if type(decision) is Grant:
            apply(decision.adds, now, changed)
    return decisions, changed


def apply(adds: Iterable[Add], now: dict[str, Row], changed: dict[str, Row]) -> None:
    """Add what a grant added to the rows of `now`, each of them copied into both `now` and `changed` before its first change."""
    row: Row = {}
    last, all_kept = "", True
    for name, slot, much in adds:
        if name != last:  # those of one row mostly stand together
            last, all_kept = name, keeps_all(name)
            if name in changed:
                row = changed[name]
            else:
                row = changed[name] = now[name] = dict(now.get(name, _NOTHING))
        add(row, slot, much, keeps_all=all_kept)
