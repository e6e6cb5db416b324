"""The order of everything restated from the specification alone, as plainly as can be: a line at a time, nothing forgotten."""

from __future__ import annotations

from collections import Counter
from typing import Any

from livepromo.model.ids import CampaignId, UserId, sampled
from livepromo.model.records import Event, content_id
from property.restated_absence import Absence, Read, Window, runs
from property.restated_rewards import Ledger, Owed
from property.restated_values import DAY, Document, Sent, Tree, exact, holds, kind_of

GRACE = 5_000
OPEN_WINDOWS = 1_000
FOR_EVER = 1 << 62


class Recount:
    """Takes lines one at a time, and at last the end; `decisions` are ("grant" or "denial", tree) in order."""

    def __init__(
        self, documents: list[Document], codes: dict[str, list[str]], *, grace: int = GRACE, open_windows: int = OPEN_WINDOWS
    ) -> None:
        self.ledger = Ledger(documents, codes)
        campaigns = sorted((one for one in documents if one["kind"] == "campaign"), key=lambda one: one["id"].encode())
        self.did = [one for one in campaigns if "unless" not in one["qualify"]["live"]]
        self.absences = {one["id"]: Absence(one, grace, open_windows) for one in campaigns if one not in self.did}
        self.named = {one["qualify"]["live"]["event"] for one in campaigns}.union(*(one.unless_names for one in self.absences.values()))
        self.stream: int | None = None
        self.place = 0
        self.seen: list[tuple[str, object, int]] = []
        self.profiles: dict[str, dict[str, Any]] = {}
        self.decisions: list[tuple[str, Tree]] = []
        self.counts: Counter[str] = Counter()

    def take(self, sent: Sent) -> None:
        self.place += 1
        self.counts[self._taken(sent)] += 1

    def end(self, until: int = FOR_EVER) -> None:
        """Move stream time on when everything was taken."""
        self._move(until)

    def _taken(self, sent: Sent) -> str:
        """Return what became of a line: taken, repeat, ignored, or the reason for which it is a dead letter."""
        if sent.kind not in {"event", "profile", "segment"}:
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
        if sent.kind == "event":
            self._happened(sent, time)
        elif sent.kind == "profile":
            known = self.profiles.get(sent.user, {}) | sent.properties
            self.profiles[sent.user] = {name: value for name, value in known.items() if value is not None}
        return "taken"

    def _repeats(self, sent: Sent, time: int) -> bool:
        what = identity(sent)
        if any(user == sent.user and same == what and abs(time - at) <= DAY for user, same, at in self.seen):
            return True
        self.seen.append((sent.user, what, time))
        return False

    def _move(self, to: int) -> None:
        """Do all that is due before a record that moves stream time to `to`, in order."""
        while self.stream is None or self.stream < to:
            due = min(
                (step for one in self.absences.values() for step in one.due() if step[0] < to), key=lambda step: step[:4], default=None
            )
            if due is None:
                self.stream = to
                break
            *_, campaign, _, what = due
            absence = self.absences[campaign]
            if isinstance(what, Read):
                absence.put_in_order(what)
            elif absence.fire(what):
                self._owe_window(absence.campaign, what)

    def _happened(self, sent: Sent, time: int) -> None:
        assert self.stream is not None
        for absence in self.absences.values():
            absence.read(Read(time, self.place, sent), self.stream)
        for campaign in self.did:
            live = campaign["qualify"]["live"]
            if sent.name == live["event"] and all(holds(one, sent.properties) for one in live.get("where", [])) and runs(campaign, time):
                self._owe(campaign, sent, time, {"kind": "did", **named(sent)})

    def _owe_window(self, campaign: Document, window: Window) -> None:
        sent = window.trigger.sent
        self._owe(campaign, sent, window.deadline, {"kind": "did_not", **named(sent), "deadline": window.deadline})

    def _owe(self, campaign: Document, sent: Sent, at: int, cause: Document) -> None:
        who = campaign.get("who", {"sample": 100})
        if sampled(CampaignId(campaign["id"]), UserId(sent.user), int(exact(who["sample"]) * 1000)):
            owed = Owed(campaign, sent.user, at, cause, sent.properties, self.profiles.get(sent.user, {}))
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
