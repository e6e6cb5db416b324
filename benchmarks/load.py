"""What the benchmarks send, and the recount that must pass before a figure counts: its own small restatement of the rules."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import accumulate, islice
from typing import NamedTuple

USERS = 50_000
NAMES = ("View", "Search", "Open", "Added To Wishlist", "Removed", "Shared", "Added To Cart", "Charged")
SHARES = (40, 15, 10, 6, 5, 4, 12, 8)  # percent
CATEGORIES = tuple(f"c{number:02d}" for number in range(20))
FIRST_MS = 1_767_571_200_000  # 2026-01-05 00:00 UTC
STEP_MS = 100  # of event time between two events: a million of them take 27.8 hours
DAY_MS = 86_400_000
PER_DAY = 2
BUDGET_SHARE = 0.6  # of what is asked for, where the budget is to run out
WITH_BUDGET = (0, 2, 5, 9)
POINTS_PERCENT = 10
_AT_ONCE = 10_000


class Watched(NamedTuple):
    """What a campaign rewards: events of a name in some categories."""

    id: str
    event: str
    categories: tuple[str, ...]


CAMPAIGNS = (
    *(Watched(f"camp-{number}", "Charged", (CATEGORIES[number],)) for number in range(8)),
    Watched("camp-8", "Added To Cart", (CATEGORIES[0],)),
    Watched("camp-9", "Added To Cart", (CATEGORIES[1], CATEGORIES[2])),
)


class Cause(NamedTuple):
    """An event that a campaign owes a reward for, if no limit stands against it; `units` are hundredths of a point."""

    campaign: str
    user: str
    event_id: str
    day: int
    units: int


class Sent(NamedTuple):
    """An event as it is sent."""

    user: str
    value: bytes
    cause: Cause | None


def events(count: int, seed: int = 1, *, all_decided: bool = False) -> Iterator[Sent]:
    """Yield the events, in the order in which they are sent: about 195 bytes each, 5 % or all of them decided; no two are the same."""
    draw = random.Random(seed)
    weights = list(accumulate(1 / (rank + 1) for rank in range(USERS)))
    ranks = list(range(USERS))
    draw.shuffle(ranks)
    watched = {(one.event, category): one.id for one in CAMPAIGNS for category in one.categories}
    at = 0
    while at < count:
        users = draw.choices(ranks, cum_weights=weights, k=_AT_ONCE)  # also where fewer are left: the first events are always the same
        names = ["Charged"] * _AT_ONCE if all_decided else draw.choices(NAMES, weights=SHARES, k=_AT_ONCE)
        categories = draw.choices(CATEGORIES[:8] if all_decided else CATEGORIES, k=_AT_ONCE)
        for user_rank, name, category in islice(zip(users, names, categories, strict=True), count - at):
            tens = 100 + int(draw.random() * 9_900)  # the amount in tenths: a tenth of it is a whole number of hundredths
            user, event_id, ts_ms = f"u{user_rank:07d}", f"e{at:012d}", FIRST_MS + at * STEP_MS
            value = (
                f'{{"id":"{event_id}","user":"{user}","event":"{name}","ts":{ts_ms},"properties":{{"Amount":{tens / 10},'
                f'"currency":"INR","category":"{category}","product":"p{tens * 7 % 100_000:05d}","source":"android","n":{at}}}}}'
            )
            campaign = watched.get((name, category))
            cause = None if campaign is None else Cause(campaign, user, event_id, ts_ms // DAY_MS, tens)
            yield Sent(user, value.encode(), cause)
            at += 1


class Rules(NamedTuple):
    """The budgets, in whole points, of the campaigns that have one; every campaign rewards a user twice a day at most."""

    budgets: dict[str, int]


def rules_for(causes: Iterable[Cause]) -> Rules:
    """Return budgets of which some run out, whatever the number of events."""
    asked: Counter[str] = Counter()
    for cause in _first_of_a_day(causes):
        asked[cause.campaign] += cause.units
    return Rules({CAMPAIGNS[at].id: int(asked[CAMPAIGNS[at].id] * BUDGET_SHARE) // 100 for at in WITH_BUDGET})


def documents(rules: Rules, more: int = 0, *, a_day: int = PER_DAY) -> str:
    """Return the documents; with `more` campaigns beside them that ask for categories that do not come."""
    parts = ["kind: wallet\nid: bench\ndecimals: 2\n"]
    unheard = [Watched(f"more-{number}", "Charged", (f"x{number}",)) for number in range(more)]
    for one in (*CAMPAIGNS, *unheard):
        where = (
            f"{{property: category, op: eq, value: {one.categories[0]}}}"
            if len(one.categories) == 1
            else f"{{property: category, op: in, value: [{', '.join(one.categories)}]}}"
        )
        budget = f"    budget: {{campaign: {rules.budgets[one.id]}}}\n" if one.id in rules.budgets else ""
        parts.append(
            f"kind: campaign\nid: {one.id}\nqualify: {{live: {{event: {one.event}, where: [{where}]}}}}\nreward:\n  points:\n"
            f"    wallet: bench\n    earn: {{percent: {POINTS_PERCENT}, of: Amount}}\n    recurrence: {{day: {a_day}}}\n{budget}"
            "    metadata: [{key: product, from: event.product}]\n"
            'when: {start: "2026-01-01T00:00:00Z"}\n'
        )
    return "---\n".join(parts)


class Given(NamedTuple):
    """A grant as somebody published it."""

    campaign: str
    user: str
    event_id: str
    units: int


def given(body: bytes) -> Given:
    """Return what a published grant says."""
    said = json.loads(body, parse_float=Decimal)
    units = Decimal(said["reward"]["points"]) * 100
    assert units == int(units), body
    return Given(said["campaign"], said["user"], said["cause"]["event_id"], int(units))


class VoidError(Exception):
    """The run does not count."""


def _first_of_a_day(causes: Iterable[Cause]) -> Iterator[Cause]:
    counts: Counter[tuple[str, str, int]] = Counter()
    for cause in causes:
        slot = cause.campaign, cause.user, cause.day
        counts[slot] += 1
        if counts[slot] <= PER_DAY:
            yield cause


def recount(causes: Sequence[Cause], rules: Rules, grants: Sequence[Given]) -> dict[str, int]:
    """Return what each campaign gave, in hundredths, if the grants, in their order, are right. Raises VoidError.

    Right are grants of which each has a cause of its own and that cause's amount, which pass no limit at any prefix, and of which none
    is missing: where no budget binds they are the first two of a user and day; else, what was not granted does not fit any more.
    """
    by_id = {(cause.campaign, cause.event_id): cause for cause in causes}
    a_day: Counter[tuple[str, str, int]] = Counter()
    spent: Counter[str] = Counter()
    granted: dict[str, set[str]] = defaultdict(set)
    for grant in grants:
        cause = by_id.get((grant.campaign, grant.event_id))
        if cause is None or (cause.user, cause.units) != (grant.user, grant.units):
            raise VoidError(f"no event asks for {grant}: {cause}")
        if grant.event_id in granted[grant.campaign]:
            raise VoidError(f"granted twice: {grant}")
        granted[grant.campaign].add(grant.event_id)
        slot = cause.campaign, cause.user, cause.day
        a_day[slot] += 1
        spent[cause.campaign] += cause.units
        if a_day[slot] > PER_DAY:
            raise VoidError(f"more than {PER_DAY} a day: {grant}")
        if spent[cause.campaign] > 100 * rules.budgets.get(cause.campaign, 1 << 62):
            raise VoidError(f"over budget: {grant}")
    first = {(cause.campaign, cause.event_id) for cause in _first_of_a_day(causes)}
    for cause in causes:
        has, budget = cause.event_id in granted[cause.campaign], rules.budgets.get(cause.campaign)
        if budget is None and has != ((cause.campaign, cause.event_id) in first):
            raise VoidError(f"{'granted, though not among the first of its day' if has else 'not granted'}: {cause}")
        slot = cause.campaign, cause.user, cause.day
        if budget is not None and not has and a_day[slot] < PER_DAY and spent[cause.campaign] + cause.units <= 100 * budget:
            raise VoidError(f"not granted, though it fits: {cause}")
    return dict(spent)
