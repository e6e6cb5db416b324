"""Where the partitions of the events topic stand, asked from outside, while workers may go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from livepromo.behaviour import users
from livepromo.behaviour.audiences import compile_audience
from livepromo.behaviour.decoding import decode
from livepromo.documents.catalogue import Catalogue, Entry, campaign_state, starts_ms
from livepromo.engine.journalling import POSITION_KEY, restore_part
from livepromo.engine.parts import HISTORY, SCAN, SENT, WHO
from livepromo.engine.state import State
from livepromo.model.documents import Campaign, Live, Segment
from livepromo.model.ids import UserId
from livepromo.model.records import Membership
from livepromo.settings import Settings
from livepromo.streaming.journal import read_journal
from livepromo.streaming.log import Log
from livepromo.worker.horizons import horizons_of

_OF_NO_SEGMENT = b'"segments":[]}'
_OF_CAMPAIGNS = (POSITION_KEY, SENT, HISTORY, SCAN)


class Members:
    """Who is in some fed segments, lists among them (`list/ID`), as far as was read: records of a journal, or of the events topic."""

    def __init__(self, names: Iterable[str]) -> None:
        self.of: dict[str, set[UserId]] = {name: set() for name in names}

    def take_part(self, user: UserId, who: bytes | None) -> None:
        """Take who a user is, as a journal has it. Of several parts of a user the last counts."""
        found: frozenset[str] = frozenset()
        if who is not None and not who.endswith(_OF_NO_SEGMENT):
            found = users.decode(who).segments
        for name, members in self.of.items():
            if name in found:
                members.add(user)
            else:
                members.discard(user)

    def take_record(self, value: bytes | None) -> None:
        """Take a record of the events topic, in its order; one that is no membership says nothing."""
        record = decode(value)
        if isinstance(record, Membership) and (members := self.of.get(record.segment)) is not None:
            if record.member:
                members.add(record.user)
            else:
                members.discard(record.user)


async def standing(log: Log, settings: Settings, partitions: int, members: Members | None = None) -> list[State]:
    """Return the state of every partition as its journal has it now, but nothing of its users, windows and ids; `members` are told of them.

    Reads whole journals, so it takes seconds where there are millions of users. Raises FormatError, UnavailableError.
    """
    topic = settings.topic("state")
    found: list[State] = []
    for number in range(partitions):
        state = State(horizons_of(settings))
        async for some in read_journal(log, topic, number, 0, await log.end(topic, number)):
            for key, payload, _ in some:
                if key.startswith(_OF_CAMPAIGNS):
                    restore_part(state, key, payload)
                elif members is not None and key.startswith(WHO):
                    members.take_part(UserId(key[len(WHO) :].decode()), payload)
        found.append(state)
    return found


async def members_now(log: Log, settings: Settings, partitions: int, name: str) -> set[UserId]:
    """Return who is in a fed segment by all that the events topic held when asked: by the journals, and by what no worker has taken yet.

    Raises FormatError, UnavailableError.
    """
    members = Members([name])
    states = await standing(log, settings, partitions, members)
    for number, state in enumerate(states):
        end = await log.end(settings.events, number)
        async for some in log.read(settings.events, number, state.position.offset, end):
            for record in some:
                members.take_record(record.value)
    return members.of[name]


class Standing(NamedTuple):
    """How a campaign stands (R18), and, while it is being prepared or sent, in how many of the partitions it has been."""

    state: str
    progress: tuple[int, int] | None = None


def needs_of(catalogue: Catalogue, entry: Entry) -> frozenset[bytes]:
    """Return the rules whose look-backs have to be read before a campaign decides (R15)."""
    campaign = entry.document
    if not isinstance(campaign, Campaign) or campaign.who is None:
        return frozenset()
    sent_ms = None if isinstance(campaign.qualify, Live) else starts_ms(entry)
    segments = {one.document.id: one.document for one in catalogue.entries.values() if isinstance(one.document, Segment)}
    return frozenset(rule.key for rule in compile_audience(campaign.who, campaign.id, segments, sent_ms=sent_ms).rules)


def depends_on_partitions(catalogue: Catalogue, entry: Entry, now_ms: int) -> bool:
    """Say whether the partitions have to be asked how a campaign stands: it has begun, and is sent, or looks back."""
    campaign = entry.document
    if not isinstance(campaign, Campaign) or campaign_state(entry, now_ms) not in {"running", "sending", "paused"}:
        return False
    return not isinstance(campaign.qualify, Live) or bool(needs_of(catalogue, entry))


def stands(catalogue: Catalogue, entry: Entry, now_ms: int, states: Sequence[State]) -> Standing:
    """Return how a campaign stands by what its partitions have done."""
    campaign, state = entry.document, campaign_state(entry, now_ms)
    assert isinstance(campaign, Campaign), entry
    if state not in {"running", "sending", "paused"} or not states:
        return Standing(state)
    sent = 0
    if not isinstance(campaign.qualify, Live):
        sent = sum((done := one.sent.get(campaign.id)) is not None and done.done for one in states)
        if sent == len(states):
            return Standing("ended")
    if state == "paused":
        return Standing(state)
    needs = needs_of(catalogue, entry)
    ready = sum(needs <= one.histories.keys() and needs.isdisjoint(one.unready) for one in states)
    if ready < len(states):
        return Standing("preparing", (ready, len(states)))
    return Standing(state, (sent, len(states)) if state == "sending" else None)
