"""Which amount a random reward draws: a function of the grant's identity, so that a replay draws the same."""

from __future__ import annotations

import hashlib
import struct
from typing import Final, assert_never

from livepromo.model.documents import Favor
from livepromo.model.ids import GrantId

_PERSON: Final = b"livepromo draw"
_FOUR: Final = struct.Struct("<4Q")
_SEVEN: Final = struct.Struct("<7Q")


def draw(grant_id: GrantId, low: int, high: int, favor: Favor) -> int:
    """Return an integer from low to high, both possible (R23, R25).

    Order statistics of uniform draws are beta distributed: the least of 4 is Beta(1, 4), most of it in the lowest part; the greatest
    of 4 is Beta(4, 1), its mirror; the middle one of 7 is Beta(4, 4), around the midpoint. Whole numbers throughout, so every
    platform draws the same.
    """
    words = hashlib.blake2b(grant_id.encode(), digest_size=56, person=_PERSON).digest()
    word: int
    match favor:
        case Favor.MIN:
            word = min(_FOUR.unpack_from(words))
        case Favor.MAX:
            word = max(_FOUR.unpack_from(words))
        case Favor.AVG:
            word = sorted(_SEVEN.unpack(words))[3]
        case _:
            assert_never(favor)
    return low + (word * (high - low + 1) >> 64)
