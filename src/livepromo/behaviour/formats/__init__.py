"""In which shapes records may come in, a file a shape; `livepromo`, the one of our own, is read by `behaviour.decoding`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from livepromo.behaviour.decoding import decode, decode_with
from livepromo.behaviour.formats import clevertap, cloudevents, segment
from livepromo.model.records import Record

Headers = Sequence[tuple[str, bytes]]


Whole = Callable[[bytes | None, Headers], bytes | None]


class RecordFormat(NamedTuple):
    """How records of the events topic are read.

    `whole`, where there is one, puts what a record says in its headers into its value, before `decode`.
    """

    decode: Callable[[bytes | None], Record]
    whole: Whole | None = None


LIVEPROMO: Final = RecordFormat(decode)
FORMATS: Final = {
    "livepromo": LIVEPROMO,
    "clevertap": RecordFormat(partial(decode_with, translate=clevertap.translate)),
    "segment": RecordFormat(partial(decode_with, translate=segment.translate)),
    "cloudevents": RecordFormat(partial(decode_with, translate=cloudevents.translate), cloudevents.whole),
}
"""By the value of the setting."""
