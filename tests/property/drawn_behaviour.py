"""Draws documents about what users did and did not do, and lines that fall on and around every edge of them."""

from __future__ import annotations

from random import Random
from typing import Any

from property.drawn import HOUR, USERS, Author, World
from property.restated_values import DAY, Document, Sent

SECOND = 1_000
SCALES = (SECOND, 10 * SECOND, 60 * SECOND, HOUR, 6 * HOUR, DAY)
"""How long things take in a history, so that what happens falls before, on and behind deadlines."""
TRIGGERS = ("Charged", "Viewed")
UNLESS = ("Charged", "Viewed", "Paid", ["Charged", "Paid"], ["Viewed", "Charged"], ["Paid"])
VALUES = (1, 1, 1, 1, 1.0, "gold", "gold")
ODD = ("1", True, None, ["gold"], {})


class AbsenceAuthor(Author):
    """Draws documents most of whose campaigns reward what was not done."""

    def __init__(self, random: Random, begins: int, scale: int) -> None:
        super().__init__(random, begins)
        self.scale = scale
        self.spans = [0, 1, scale]
        """What tells times apart: how long windows are, and how much grace they have."""

    def instant(self, half_days: int) -> str:
        return self.spelled(self.begins + half_days * self.scale)

    def points(self, wallet: Document) -> Document:
        if self.maybe(0.4):
            return super().points(wallet)
        return {"wallet": wallet["id"], "earn": self.random.choice(({"flat": 1}, {"percent": 10, "of": "Amount"})), "metadata": self.rows()}

    def campaign(self, name: str, reward: Document) -> Document:
        campaign = super().campaign(name, reward)
        if self.maybe(0.85):
            live = campaign["qualify"]["live"]
            live["event"] = self.random.choice(TRIGGERS)
            if self.maybe(0.7):
                live.pop("where", None)
            live |= self.absence()
        return campaign

    def absence(self) -> Document:
        pick = self.random.choice
        within, grace = self.scale * pick((1, 1, 2, 3)), pick((SECOND, 5 * SECOND, self.scale // 2, self.scale // 3, self.scale, DAY))
        grace = min(max(grace, SECOND), DAY)
        self.spans += [within, grace, within + grace]
        unless: Document = {"event": pick(UNLESS), "within": f"{within // SECOND}s"}
        if self.maybe(0.8):
            unless["grace"] = f"{grace // SECOND}s"
        if self.maybe(0.25):
            unless["where"] = [self.condition()]
        absence: Document = {"unless": unless}
        if self.maybe():
            absence["retrigger"] = pick(("restart", "keep", "restart"))
        if self.maybe():
            absence["same"] = pick((["tag"], ["Order ID"], [{"event": "tag", "unless": "Order ID"}], ["tag", "Order ID"]))
        return absence


class AbsenceWorld(World):
    """Draws lines that fall before, on and behind the deadlines of windows, with and without grace."""

    def __init__(self, random: Random, begins: int, spans: list[int]) -> None:
        super().__init__(random, begins)
        self.begins, self.spans = begins, spans
        self.users = USERS[: random.choice((1, 2, 2, 3))]

    def pass_time(self) -> None:
        step = self.random.choice((0, 0, 1, *self.spans))
        self.clock += step // self.random.choice((1, 1, 2, 3)) + self.random.choice((0, 0, 0, 1))
        if self.random.random() < 0.15:
            self.clock -= (self.clock - self.begins) % -self.spans[2]  # where what documents name begins and ends

    def late_by(self) -> int:
        pick = self.random.choice
        if self.random.random() < 0.5:
            return 0
        if self.random.random() < 0.1:
            return pick((DAY, DAY + 1))
        return pick(self.spans) // pick((1, 1, 2)) + pick((0, 0, 1, -1, pick(self.spans)))

    def received_after(self) -> int:
        return self.random.choice((0, 0, 0, 1000, 1000, HOUR, HOUR, -1, -1, -min(200_000, self.random.choice(self.spans)), -300_001))

    def happening(self) -> tuple[str, str | None, dict[str, Any]]:
        pick, random = self.random.choice, self.random.random
        properties = {name: pick(VALUES if random() < 0.9 else ODD) for name in ("tag", "Order ID") if random() < 0.95}
        if random() < 0.9:
            properties["Amount"] = pick((10, 33, 250, "500", 0))
        name = pick(("Charged", "Charged", "Viewed", "Viewed", "Paid", "Nobody asks"))
        return name, pick((None, "e1", "e2", *(f"n{len(self.sent)}" for _ in range(7)))), properties


class AudienceAuthor(AbsenceAuthor):
    """Draws documents whose campaigns have audiences of every kind; `sends`: some are sent to those whom they describe."""

    def __init__(self, random: Random, begins: int, scale: int, *, sends: bool) -> None:
        super().__init__(random, begins, scale)
        self.sends = sends

    def documents(self) -> list[Document]:
        segments = [
            {"kind": "segment", "id": "buyers", "who": self.audience(2, ("loyal",))},
            {"kind": "segment", "id": "loyal", "members": "fed"},
            {"kind": "list", "id": "vip"},
        ]
        return segments + super().documents()

    def campaign(self, name: str, reward: Document) -> Document:
        campaign = super().campaign(name, reward)
        if self.maybe(0.9):
            campaign["who"] = self.audience(3, ("loyal", "buyers"))
        if self.sends and self.maybe(0.6):
            campaign["qualify"] = self.random.choice(({"past": {}}, {"list": "vip"}))
            campaign["when"] = {"send": self.instant(self.random.randint(0, 12))} if self.maybe(0.7) else {"send": "now"}
            campaign["reward"] = sendable(reward)
            if "past" in campaign["qualify"]:
                campaign.setdefault("who", self.audience(2, ("loyal", "buyers")))
        return campaign

    def audience(self, deepest: int, segments: tuple[str, ...]) -> Document:
        pick = self.random.choice
        if deepest > 1 and self.maybe(0.6):
            members = [self.audience(deepest - 1, segments) for _ in range(self.random.randint(1, 3))]
            group: Document = {pick(("all", "all", "any", "any", "none")): members}
            if "all" in group and any("did" in one for one in members) and self.maybe(0.7):
                group["same"] = pick((["tag"], ["Order ID"], ["tag", "Order ID"]))
            return group
        match pick(("did",) * 5 + ("did_not",) * 3 + ("interest",) * 3 + ("property",) * 2 + ("segment", "segment", "list", "sample")):
            case "did":
                count = self.maybe(0.6) and {"count": self.count()}
                return {"did": {**self.happenings(), **(count or {}), **self.look_back()}}
            case "did_not":
                return {"did_not": {**self.happenings(), **self.look_back()}}
            case "interest":
                value, share = pick((1, 1.0, "gold", True)), pick(("predominantly", "predominantly", 50, 33.333, 33.334, 100, 0.001))
                where = {"event": pick(TRIGGERS), "property": pick(("tag", "Order ID")), "value": value, "share": share}
                return {"interest": {**where, **self.look_back()}}
            case "property":
                return {**self.condition(), "property": pick(("plan", "age"))}
            case "segment":
                return {"segment": pick(segments)}
            case "list":
                return {"list": "vip"}
            case _:
                return {"sample": pick((100, 50, 33.333))}

    def happenings(self) -> Document:
        pick = self.random.choice
        where = {"where": [self.condition()]} if self.maybe(0.2) else {}
        return {"event": pick(("Charged", "Viewed", "Paid", ["Charged", "Paid"], ["Viewed"])), **where}

    def count(self) -> Document:
        op = self.random.choice(("eq", "gt", "gte", "gte", "lt", "lte", "between"))
        low, high = sorted((self.random.randint(0, 4), self.random.randint(0, 4)))
        return {op: [low, high] if op == "between" else low}

    def look_back(self) -> Document:
        if self.maybe(0.4):
            return {}
        if self.maybe(0.3):
            first, last = sorted(self.random.sample(range(-1, 6), 2))
            return {"within": {"from": self.instant(first), "to": self.instant(last)}}
        back = self.scale * self.random.choice((1, 1, 2, 3))
        self.spans.append(back)
        return {"within": f"{back // SECOND}s"}


def sendable(reward: Document) -> Document:
    """Return a reward with what a campaign that is sent may have of it."""
    [(kind, body)] = reward.items()
    body = {name: value for name, value in body.items() if not name.startswith("max_per_")}
    if kind == "points":
        body = {name: value for name, value in body.items() if name not in {"recurrence", "budget", "on_insufficient"}}
    for holder in (body, body.get("credits", {})):
        if "of" in holder.get("earn", {}):
            holder["earn"] = {"flat": 1}
            holder.pop("max_per_reward", None)
            if "user" in body.get("budget", {}):
                del body["budget"]["user"]
    if "budget" in body and not body["budget"]:
        del body["budget"]
        body.pop("on_insufficient", None)
    return {kind: body}


class AudienceWorld(AbsenceWorld):
    """Draws lines that also say who users are, and which segments and lists they are in."""

    def line(self) -> Sent:
        if not self.sent:  # the publication is at the first record: no send is before it
            self.sent.append(self.spelled(Sent(b"", "profile", self.users[0], self.clock)))
            return self.sent[0]
        return super().line()

    def fresh(self) -> Sent:
        pick, sent = self.random.choice, super().fresh()
        if sent.kind == "segment":
            return sent._replace(name=pick(("loyal", "list/vip", "list/vip", "buyers", "list/loyal")))
        if sent.kind == "profile":
            return sent._replace(
                properties={name: pick(("gold", "old", 10, 100.0, None)) for name in ("plan", "age") if self.random.random() < 0.7}
            )
        return sent
