"""Audiences restated from the specification alone: everything that a user ever did is kept and counted anew (R5-R10, R72)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from livepromo.model.ids import CampaignId, UserId, sampled
from property.restated_values import Document, Sent, compared, constant, exact, holds, instant, kind_of, length, scalar

Kept = Callable[[dict[str, Any]], bool]
"""Whether an occurrence counts, by its properties."""


class Knowledge:
    """What has been read of users, and whom an audience describes by it."""

    def __init__(self, documents: list[Document]) -> None:
        self.segments = {one["id"]: one for one in documents if one["kind"] == "segment"}
        self.users: set[str] = set()
        self.profiles: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self.memberships: defaultdict[str, set[str]] = defaultdict(set)
        self.occurrences: defaultdict[str, list[tuple[int, Sent]]] = defaultdict(list)

    def read(self, sent: Sent, time: int) -> None:
        self.users.add(sent.user)
        if sent.kind == "event":
            self.occurrences[sent.user].append((time, sent))
        elif sent.kind == "profile":
            known = self.profiles[sent.user] | sent.properties
            self.profiles[sent.user] = {name: value for name, value in known.items() if value is not None}
        elif sent.member:
            self.memberships[sent.user].add(sent.name)
        else:
            self.memberships[sent.user].discard(sent.name)

    def forget(self, user: str) -> None:
        """Know nothing of a user any more."""
        self.users.discard(user)
        for known in (self.profiles, self.memberships, self.occurrences):
            known.pop(user, None)

    def describes(self, audience: Document, user: str, at: int, campaign: str) -> bool:
        """Say whether `user` is in an audience, as of a decision at `at`."""
        again = lambda one: self.describes(one, user, at, campaign)  # noqa: E731
        if "all" in audience:
            if not audience.get("same"):
                return all(map(again, audience["all"]))
            others = [one for one in audience["all"] if "did" not in one and "did_not" not in one]
            return all(map(again, others)) and self._for_one_value(audience, user, at)
        if "any" in audience:
            return any(map(again, audience["any"]))
        if "none" in audience:
            return not any(map(again, audience["none"]))
        if "segment" in audience:
            segment = self.segments[audience["segment"]]
            return again(segment["who"]) if "who" in segment else segment["id"] in self.memberships[user]
        if "list" in audience:
            return f"list/{audience['list']}" in self.memberships[user]
        if "property" in audience:
            return holds(audience, self.profiles[user])
        if "sample" in audience:
            return sampled(CampaignId(campaign), UserId(user), int(exact(audience["sample"]) * 1000))
        if "interest" in audience:
            return self._interested(audience["interest"], user, at)
        return self._did(audience, user, at, lambda _: True)

    def _found(self, leaf: Document, user: str, at: int) -> list[dict[str, Any]]:
        """Return the properties of the occurrences that a leaf looks at."""
        names = [leaf["event"]] if isinstance(leaf["event"], str) else leaf["event"]
        within = leaf.get("within")

        def looked_at(time: int) -> bool:
            if isinstance(within, str):
                return time >= at - length(within)
            return within is None or instant(within["from"]) <= time < instant(within["to"])

        return [
            sent.properties
            for time, sent in self.occurrences[user]
            if sent.name in names and time <= at and looked_at(time) and all(holds(one, sent.properties) for one in leaf.get("where", []))
        ]

    def _did(self, audience: Document, user: str, at: int, kept: Kept) -> bool:
        if "did_not" in audience:
            return not any(map(kept, self._found(audience["did_not"], user, at)))
        number = sum(map(kept, self._found(audience["did"], user, at)))
        [(op, wanted)] = audience["did"].get("count", {"gte": 1}).items()
        match op:
            case "eq":
                return number == wanted
            case "gt":
                return number > wanted
            case "gte":
                return number >= wanted
            case "lt":
                return number < wanted
            case "lte":
                return number <= wanted
            case _:
                return wanted[0] <= number <= wanted[1]

    def _for_one_value(self, audience: Document, user: str, at: int) -> bool:
        """Say whether a group's own `did` and `did_not` hold for one and the same value, which one of the events counted has (R10)."""
        leaves = [one for one in audience["all"] if "did" in one or "did_not" in one]
        counted = [found for one in leaves if "did" in one for found in self._found(one["did"], user, at)]
        values = [constant(found, audience["same"]) for found in counted]

        def hold(value: tuple[object, ...]) -> bool:
            return all(self._did(one, user, at, lambda found: constant(found, audience["same"]) == value) for one in leaves)

        return any(value is not None and hold(value) for value in values)

    def _interested(self, interest: Document, user: str, at: int) -> bool:
        found = [one.get(interest["property"]) for one in self._found(interest, user, at)]
        shown = sum(compared(one, interest["value"]) == 0 for one in found)
        if interest["share"] != "predominantly":
            return bool(found) and Fraction(shown, len(found)) * 100 >= exact(interest["share"])
        others = Counter(scalar(one) for one in found if kind_of(one) is not None and compared(one, interest["value"]) != 0)
        return shown > max(others.values(), default=0)


def named_in(audience: Document) -> set[str]:
    """Return the events that an audience names."""
    found: set[str] = set()
    for group in ("all", "any", "none"):
        found.update(*map(named_in, audience.get(group, [])))
    for leaf in ("did", "did_not", "interest"):
        if leaf in audience:
            names = audience[leaf]["event"]
            found.update([names] if isinstance(names, str) else names)
    return found
