"""The order of everything restated from the specification alone, as plainly as can be: a line at a time, nothing forgotten."""

from __future__ import annotations

from collections import Counter
from typing import Any

from livepromo.model.ids import UserId
from livepromo.model.records import Event, content_id
from property.restated_absence import Absence, Read, Window, runs
from property.restated_audiences import Knowledge, named_in
from property.restated_rewards import Ledger, Owed
from property.restated_values import DAY, Document, Sent, Tree, exact, holds, instant, kind_of

GRACE = 5_000
OPEN_WINDOWS = 1_000
FOR_EVER = 1 << 62


class Recount:
    """Takes lines one at a time, and at last the end; `decisions` are ("grant" or "denial", tree) in order.

    `lists` are the users that were imported, by list.
    """

    def __init__(
        self,
        documents: list[Document],
        codes: dict[str, list[str]],
        lists: dict[str, list[str]] | None = None,
        *,
        grace: int = GRACE,
        open_windows: int = OPEN_WINDOWS,
    ) -> None:
        self.ledger = Ledger(documents, codes)
        self.known = Knowledge(documents)
        for name, users in (lists or {}).items():
            for user in users:
                self.known.read(Sent(b"", "segment", user, name=f"list/{name}", member=True), 0)
        self.grace = grace
        self.campaigns = {one["id"]: one for one in documents if one["kind"] == "campaign"}
        live = {name: one for name, one in sorted(self.campaigns.items()) if "live" in one["qualify"]}
        self.did = [one for one in live.values() if "unless" not in one["qualify"]["live"]]
        self.absences = {name: Absence(one, grace, open_windows) for name, one in live.items() if one not in self.did}
        self.sends = {name: one.get("when", {}).get("send", "now") for name, one in self.campaigns.items() if name not in live}
        self.sends = {name: None if send == "now" else instant(send) for name, send in self.sends.items()}
        self.named = {one["qualify"]["live"]["event"] for one in live.values()}
        self.named.update(*(one.unless_names for one in self.absences.values()))
        self.named.update(*(named_in(one["who"]) for one in documents if "who" in one))
        self.stream: int | None = None
        self.place = 0
        self.seen: list[tuple[str, object, int]] = []
        self.decisions: list[tuple[str, Tree]] = []
        self.counts: Counter[str] = Counter()

    def take(self, sent: Sent) -> None:
        self.place += 1
        self.counts[self._taken(sent)] += 1

    def end(self, until: int = FOR_EVER) -> None:
        """Move stream time on when everything was taken; whoever is sent `now` is sent after all of it."""
        if self.stream is None:
            return
        now = [name for name, at in sorted(self.sends.items()) if at is None]
        self.sends.update(dict.fromkeys(now, self.stream))
        self._move(until)
        for name in now:
            if name in self.sends:
                self._send(name)

    def _taken(self, sent: Sent) -> str:
        """Return what became of a line: taken, repeat, ignored, or the reason for which it is a dead letter."""
        if sent.kind not in {"event", "profile", "segment", "erase"}:
            return sent.kind
        time = sent.ts
        if sent.received is not None and time > sent.received:
            if time > sent.received + 5 * 60_000:
                return "in_the_future"
            time = sent.received
        if sent.kind == "event":
            if self.stream is not None and time < self.stream - DAY:
                return "too_old"
            if sent.name in self.named and self._repeats(sent, time):
                return "repeat"
        self._move(time)
        if sent.kind == "erase":
            for part in (self.known, self.ledger, *self.absences.values()):
                part.forget(sent.user)
            return "taken"
        self.known.read(sent, time)
        if sent.kind == "event":
            self._happened(sent, time)
        return "taken"

    def _repeats(self, sent: Sent, time: int) -> bool:
        what = identity(sent)
        if any(user == sent.user and same == what and abs(time - at) <= DAY for user, same, at in self.seen):
            return True
        self.seen.append((sent.user, what, time))
        return False

    def _move(self, to: int) -> None:
        """Do all that is due before a record that moves stream time to `to`, in order: windows before sends, then by campaign."""
        while self.stream is None or self.stream < to:
            due: list[tuple[int, int, str, tuple[int, ...], Read | Window | None]] = [
                (at + self.grace, 2, name, (), None) for name, at in self.sends.items() if at is not None
            ]
            due += [step for one in self.absences.values() for step in one.due()]
            first = min((step for step in due if step[0] < to), key=lambda step: step[:4], default=None)
            if first is None:
                self.stream = to
                break
            *_, name, _, what = first
            if what is None:
                self._send(name)
            elif isinstance(what, Read):
                self.absences[name].put_in_order(what)
            elif self.absences[name].fire(what):
                sent, deadline = what.trigger.sent, what.deadline
                self._owe(name, sent.user, deadline, {"kind": "did_not", **named(sent), "deadline": deadline}, sent.properties)

    def _happened(self, sent: Sent, time: int) -> None:
        assert self.stream is not None
        for absence in self.absences.values():
            absence.read(Read(time, self.place, sent), self.stream)
        for campaign in self.did:
            live = campaign["qualify"]["live"]
            if sent.name == live["event"] and all(holds(one, sent.properties) for one in live.get("where", [])) and runs(campaign, time):
                self._owe(campaign["id"], sent.user, time, {"kind": "did", **named(sent)}, sent.properties)

    def _send(self, name: str) -> None:
        """Decide everyone whom a campaign is sent to, each once, by user id (R2)."""
        at = self.sends.pop(name)
        assert at is not None
        qualify = self.campaigns[name]["qualify"]
        for user in sorted(self.known.users, key=str.encode):
            if "past" in qualify or f"list/{qualify['list']}" in self.known.memberships[user]:
                self._owe(name, user, at, {"kind": "past" if "past" in qualify else "list"}, {})

    def _owe(self, name: str, user: str, at: int, cause: Document, properties: dict[str, Any]) -> None:
        campaign = self.campaigns[name]
        if "who" not in campaign or self.known.describes(campaign["who"], user, at, name):
            owed = Owed(campaign, user, at, cause, properties, self.known.profiles[user])
            self.decisions.append(self.ledger.decide(owed))


def named(sent: Sent) -> Document:
    """Return what a cause says of its event."""
    name = sent.id or content_id(Event(UserId(sent.user), sent.name, sent.ts, None, sent.properties))
    return {"event_id": name, "event": sent.name, "ts": sent.ts}


def identity(sent: Sent) -> object:
    """Return what makes two records of a user the same event: the id, else the content by value."""
    if sent.id is not None:
        return sent.id

    def by_value(value: Any) -> object:
        if isinstance(value, dict):
            return frozenset((key, by_value(item)) for key, item in value.items())
        if isinstance(value, list):
            return tuple(map(by_value, value))
        return kind_of(value), exact(value) if kind_of(value) == "number" else value

    return sent.name, sent.ts, by_value({key: value for key, value in sent.properties.items() if value is not None})
