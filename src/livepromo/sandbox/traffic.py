"""What happens in a small shop: lively records, drawn from a seed."""

from __future__ import annotations

from collections import deque
from random import Random  # noqa: TID251 - traffic is drawn here, never a reward
from typing import Any, Final, NamedTuple

import orjson

_NAMES: Final = ("ada", "ben", "chi", "dev", "eva", "fay", "gus", "hal", "ida", "jon", "kim", "lea", "mia", "pia", "sam", "zoe")
_GOODS: Final = {"Coffee": (6, 24), "Books": (9, 45), "Comics": (5, 20), "Garden": (12, 160), "Music": (8, 60)}
_PLANS: Final = ("basic", "basic", "basic", "silver", "gold")
_REGULARS: Final = 8  # who come again and again, and meet the limits for a user
_VISITORS: Final = 60
_REMEMBERED: Final = 50
_SIGN_UP: Final = 0.06
_REPEAT: Final = 0.01
_BROKEN: Final = 0.005
_NO_NUMBER: Final = 0.02
_MOST_STARS: Final = 5


class Record(NamedTuple):
    """A record for the events topic."""

    user: str
    value: bytes


class Shop:
    """Makes one record after another; the same seed, asked at the same times, makes the same.

    Most are events of people who look, fill their carts, pay and write reviews; now and then somebody new signs up, a sender repeats
    itself, a record is cut off on its way, and an amount is no number.
    """

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - nothing secret
        self._regulars: list[str] = []
        self._visitors: deque[str] = deque(maxlen=_VISITORS)  # the newest: others are not seen again
        self._sent: deque[Record] = deque(maxlen=_REMEMBERED)
        self._waiting: deque[tuple[str, str, dict[str, Any]]] = deque()
        self._users = self._events = 0

    def next(self, now_ms: int) -> Record:
        """Return what happens next, at `now_ms`; a repeat is of the time at which it was first sent."""
        chance = self._random.random()
        if self._sent and chance < _REPEAT:
            return self._random.choice(self._sent)
        if self._sent and chance < _REPEAT + _BROKEN:
            whole = self._random.choice(self._sent)
            return Record(whole.user, whole.value[: len(whole.value) // 2])
        if not self._waiting:
            self._happens()
        user, event, properties = self._waiting.popleft()
        record = Record(user, orjson.dumps(self._said(user, event, properties, now_ms)))
        self._sent.append(record)
        return record

    def _said(self, user: str, event: str, properties: dict[str, Any], now_ms: int) -> dict[str, Any]:
        if not event:
            return {"type": "profile", "user": user, "ts": now_ms, "properties": properties}
        self._events += 1
        return {"type": "event", "id": f"e-{self._events}", "user": user, "event": event, "ts": now_ms, "properties": properties}

    def _happens(self) -> None:
        draw = self._random
        if len(self._regulars) < _REGULARS or draw.random() < _SIGN_UP:
            self._signs_up()
            return
        user = draw.choice(self._regulars) if draw.random() < 0.5 or not self._visitors else draw.choice(self._visitors)  # noqa: PLR2004 - half of it
        category = draw.choice(list(_GOODS))
        product: dict[str, Any] = {"Product ID": f"{category.lower()}-{draw.randrange(20)}", "Category": category}
        event = draw.choices(("Product Viewed", "Added To Cart", "Charged", "Review Written"), (45, 22, 23, 10))[0]
        if event == "Charged":
            cheapest, dearest = _GOODS[category]
            cents = draw.randint(100 * cheapest, 100 * dearest)
            amount = f"{cents // 100},{cents % 100:02}" if draw.random() < _NO_NUMBER else cents / 100
            product |= {"Amount": amount, "Order ID": f"o-{self._events}"}
        elif event == "Review Written":
            product["Stars"] = draw.randint(1, _MOST_STARS)
        self._waiting.append((user, event, product))

    def _signs_up(self) -> None:
        self._users += 1
        user = f"{self._random.choice(_NAMES)}-{self._users}"
        if len(self._regulars) < _REGULARS:
            self._regulars.append(user)
        else:
            self._visitors.append(user)
        self._waiting.append((user, "", {"plan": self._random.choice(_PLANS), "email": f"{user}@mail.example"}))
        self._waiting.append((user, "Signed Up", {}))
