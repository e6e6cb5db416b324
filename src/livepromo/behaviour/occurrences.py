"""When a user did what a rule asks about: packed, and never more than decisions that may still come can tell apart."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple

import msgspec

from livepromo.behaviour.conditions import Predicate, compile_where
from livepromo.model.audiences import Back, Span, Within
from livepromo.model.conditions import Condition
from livepromo.model.ids import hash_of
from livepromo.model.json_text import json_bytes

ROWS_IN_A_CHUNK = 64

# A row is a time and how many occurrences it stands for: 42 bits of milliseconds, which last until 2109, and 22 of the number less one.
# Rows compare as their times do.
_COUNT_BITS: Final = 22
_MOST_IN_A_ROW: Final = 1 << _COUNT_BITS
_COUNT: Final = _MOST_IN_A_ROW - 1
_ROW_BYTES: Final = 8
_HEAD_BYTES: Final = 9  # a value, and how many rows it has
_HEADS: Final = tuple(Struct("<B" + n * "QB") for n in range(130))  # a chunk and its one row too many, and as much again
_ROWS: Final = tuple(Struct(f"<{n}Q") for n in range(130))
_HASHES_KEPT: Final = 8192
_SCALARS = frozenset({str, bool, int, float})
NO_VALUE: Final = 0

Groups = dict[int, Sequence[int]]
"""The rows of a chunk, ascending, by the value to which they belong."""


class Rule(msgspec.Struct, frozen=True, eq=False):
    """What is remembered of every user for a leaf: the events that it counts, and how finely. Equal where the content is.

    The occurrences are those of any of `events` for which `matches` holds, at [decision - `back_ms`, decision], or else at
    [`from_ms`, `to_ms`), where None is no bound, up to the decision. `apart` are properties whose values, taken together, are told
    apart. `most` is the number from which on more make no difference, for each value, and what has no value is no occurrence; None:
    every one counts, also without a value.
    """

    key: bytes
    events: tuple[str, ...]
    matches: Predicate
    apart: tuple[str, ...]
    most: int | None
    back_ms: int | None
    from_ms: int | None
    to_ms: int | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def reach_ms(self, now_ms: int) -> int | None:
        """Return from when on occurrences count for a decision at `now_ms`; None: all that the events topic holds."""
        return self.from_ms if self.back_ms is None else now_ms - self.back_ms


class Remembered(NamedTuple):
    """What is remembered of a user for a rule: chunks of at most `ROWS_IN_A_CHUNK` rows, numbered from `first` on."""

    first: int
    chunks: tuple[bytes, ...]


def rule_for(  # noqa: PLR0913 - what a leaf says, word by word
    events: tuple[str, ...],
    where: tuple[Condition, ...],
    within: Within | None,
    *,
    apart: tuple[str, ...] = (),
    most: int | None,
    sent_ms: int | None = None,
) -> Rule:
    """Return the rule of a leaf.

    Where every decision is made as of one instant, `sent_ms`, a look-back is a span that ends with it: so nothing that counts is
    forgotten when the decision is made later.
    """
    back_ms: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    if isinstance(within, Span):
        from_ms, to_ms = within.from_ms, within.to_ms
    elif isinstance(within, Back):
        back_ms = within.duration_ms
    if sent_ms is not None:
        to_ms = sent_ms + 1 if to_ms is None else min(to_ms, sent_ms + 1)
        if back_ms is not None:
            from_ms, back_ms = sent_ms - back_ms, None
    events = tuple(sorted(set(events)))
    conditions = sorted({json_bytes([one.property, one.op, one.values]).decode() for one in where})
    content = json_bytes([events, conditions, apart, most, back_ms, from_ms, to_ms]).decode()
    return Rule(hash_of("rule", content, size=8), events, compile_where(where), apart, most, back_ms, from_ms, to_ms)


def value_of(values: tuple[Any, ...]) -> int | None:
    """Return the 64 bits by which the values of properties, taken together, are told apart; None where one of them is no value.

    Values of different types are never equal, 1 and 1.0 are. Two different values of one user share the bits once in 2^64 pairs.
    """
    for value in values:
        if type(value) not in _SCALARS:
            return None
    return _hash_of(*values)


@lru_cache(maxsize=_HASHES_KEPT, typed=True)
def _hash_of(*values: Any) -> int:  # noqa: ANN401 - scalars
    return int.from_bytes(hash_of(json_bytes(values).decode(), size=8), "little") or 1  # 0 is no value


def noted(  # noqa: PLR0913, PLR0917 - the event, and where in the stream it is read
    before: Remembered | None, rule: Rule, time_ms: int, properties: Mapping[str, Any], stream_ms: int, lateness_ms: int
) -> Remembered | None:
    """Return what is remembered after an event whose name is one of the rule's; `before` itself where nothing changes.

    In any order: what is said of decisions at `stream_ms - lateness_ms` or later is the same as if every event were remembered for
    ever. Not twice: an event noted again is counted again. What could only make a difference to earlier decisions is forgotten.
    A call touches a few chunks, however many there are; the others stay the same objects.
    """
    if not rule.matches(properties):
        return before
    horizon_ms = stream_ms - lateness_ms
    if rule.back_ms is not None:
        if time_ms < horizon_ms - rule.back_ms:
            return before
    elif (rule.from_ms is not None and time_ms < rule.from_ms) or (rule.to_ms is not None and time_ms >= rule.to_ms):
        return before
    value = NO_VALUE
    if rule.apart:
        found = value_of(tuple(map(properties.get, rule.apart)))
        if found is not None:
            value = found
        elif rule.most is not None:
            return before
    row = time_ms << _COUNT_BITS
    if before is None:
        return Remembered(0, (_packed(rule, {value: [row]}),))
    return _with_row(before, rule, value, row, horizon_ms)


def _with_row(before: Remembered, rule: Rule, value: int, row: int, horizon_ms: int) -> Remembered:
    first, chunks = before.first, list(before.chunks)
    home = _home(rule, chunks, value)
    groups = _unpacked(rule, chunks[home])
    rows = list(groups.get(value, ()))
    if rule.back_ms is None and rule.most is not None and rows and rows[0] <= row and _counted(rows[0]) >= rule.most:
        return before
    insort(rows, row)
    groups[value] = rows
    groups = _trimmed_groups(rule, groups, horizon_ms)
    grown = sum(map(len, groups.values())) > ROWS_IN_A_CHUNK
    if not grown:
        chunk = _packed(rule, groups)
        if chunk == chunks[home]:
            return before
        chunks[home] = chunk
    elif len(groups) == 1 or _all_are_kept(rule):
        chunks.append(_packed(rule, {value: [row]}))
    else:
        moved = _split_off(groups)
        chunks[home] = _packed(rule, groups)
        chunks.append(_packed(rule, moved))
    if rule.back_ms is not None:
        edge = (horizon_ms - rule.back_ms) << _COUNT_BITS
        while len(chunks) > 1 and _newest(rule, chunks[0]) < edge:
            del chunks[0]
            first += 1
    if grown and len(chunks) > 2 and not _all_are_kept(rule):  # noqa: PLR2004 - the first, the last, and one that is neither
        chunks = _recycled(rule, chunks, horizon_ms)
        first += 1
    return Remembered(first, tuple(chunks))


def _all_are_kept(rule: Rule) -> bool:
    """Say whether every occurrence of a look-back makes a difference, so that chunks only ever leave from the front."""
    return rule.most is None and rule.back_ms is not None


def _home(rule: Rule, chunks: list[bytes], value: int) -> int:
    """Return which chunk takes a value: the last one that has it, so that its occurrences meet, or else the last."""
    last = len(chunks) - 1
    if last and rule.apart and not _all_are_kept(rule):
        packed = value.to_bytes(8, "little")
        for at in range(last, -1, -1):
            chunk = chunks[at]
            if chunk.find(packed, 1, 1 + chunk[0] * _HEAD_BYTES) >= 0:
                return at
    return last


def _split_off(groups: Groups) -> Groups:
    """Take about half of the rows out of `groups` and return them; the rows of one value stay together."""
    moved: Groups = {}
    wanted = sum(map(len, groups.values())) // 2
    while len(groups) > 1 and (not moved or sum(map(len, moved.values())) + len(groups[next(reversed(groups))]) <= wanted):
        value, rows = groups.popitem()
        moved[value] = rows
    return moved


def _recycled(rule: Rule, chunks: list[bytes], horizon_ms: int) -> list[bytes]:
    """Return the chunks with what is still of use in the first one moved behind the second last.

    One chunk is recycled for every one that is added, so what time has made useless does not pile up, at the cost of one chunk.
    """
    front, *others = chunks
    groups = _trimmed_groups(rule, _unpacked(rule, front), horizon_ms)
    if rule.back_ms is not None and rule.most is not None and rule.most >= ROWS_IN_A_CHUNK:
        # No chunk alone has more than make a difference.
        after = (horizon_ms + 1) << _COUNT_BITS
        unpacked = [_unpacked(rule, chunk) for chunk in chunks]
        for value, rows in list(groups.items()):
            old = sorted(row for each in unpacked for row in each.get(value, ()) if row < after)
            if len(old) > rule.most:
                groups[value] = rows[bisect_left(rows, old[-rule.most]) :]
        groups = {value: rows for value, rows in groups.items() if rows}
    if not groups:
        return others
    together = _unpacked(rule, others[-1])
    for value, rows in groups.items():
        together[value] = sorted((*together.get(value, ()), *rows))
    together = _trimmed_groups(rule, together, horizon_ms)
    if sum(map(len, together.values())) <= ROWS_IN_A_CHUNK:
        return [*others[:-1], _packed(rule, together)]
    return [*others[:-1], _packed(rule, groups), others[-1]]


def _trimmed_groups(rule: Rule, groups: Groups, horizon_ms: int) -> Groups:
    # Most of a chunk has nothing to trim, and a call for every value takes several times as long as a look.
    most = ROWS_IN_A_CHUNK + 1 if rule.most is None else rule.most
    after = (horizon_ms + 1) << _COUNT_BITS
    if rule.back_ms is None:
        return {
            value: rows
            if len(rows) <= most and (rows[0] >= after or (len(rows) == 1 and rows[0] <= _COUNT))
            else _trimmed_span(rule, rows, after)
            for value, rows in groups.items()
        }
    edge = (horizon_ms - rule.back_ms) << _COUNT_BITS
    return {
        value: kept
        for value, rows in groups.items()
        if (kept := rows if len(rows) <= most and rows[0] >= edge else _trimmed_back(rule, rows, edge, after))
    }


def _trimmed_back(rule: Rule, rows: Sequence[int], edge: int, after: int) -> Sequence[int]:
    """Return those rows of a value that a look-back of some decision at the horizon or later can tell apart from the others.

    `edge` is the first row that such a decision may see, `after` the first behind the horizon. Valid for any part of a value's rows:
    others only ever make fewer of them matter.
    """
    assert rule.back_ms is not None
    start = bisect_left(rows, edge)
    most = rule.most
    if most is None:
        return rows[start:]
    # Of what is before the horizon, every decision to come sees the newest first.
    start = max(start, bisect_left(rows, after) - most)
    if len(rows) - start <= 2 * most:
        return rows[start:]
    # A look-back that sees a row which stands between `most` earlier and `most` later ones sees `most` of these, too, unless it can be
    # so placed that it leaves out both the first and the last: they would have to be further apart than it is long, by 2 ms, for both
    # of its ends are inside.
    widest = (rule.back_ms + 1) << _COUNT_BITS
    kept: list[int] = []
    for at in range(start, len(rows)):
        if len(kept) < most or at + most >= len(rows) or rows[at + most] - kept[-most] > widest:
            kept.append(rows[at])
    return kept


def _trimmed_span(rule: Rule, rows: Sequence[int], after: int) -> Sequence[int]:
    """Return the rows of a value with those up to the horizon, all of which every decision to come counts, made one.

    `after` is the first row behind the horizon. Of later ones a decision counts the oldest first. Valid for any part of a value's rows.
    """
    old = bisect_left(rows, after)
    long_ago = sum(map(_counted, rows[:old]))
    recent = rows[old:]
    if rule.most is not None:
        long_ago = min(long_ago, rule.most)
        recent = recent[: rule.most - long_ago]
    kept = []
    while long_ago:
        count = min(long_ago, _MOST_IN_A_ROW)
        kept.append(count - 1)
        long_ago -= count
    return [*sorted(kept), *recent]


def _counted(row: int) -> int:
    return (row & _COUNT) + 1


def _packed(rule: Rule, groups: Groups) -> bytes:
    """Return the bytes of a chunk: 8 a row; where values are told apart, before them how many there are, and 9 for each."""
    if not rule.apart:
        [rows] = groups.values()
        return _ROWS[len(rows)].pack(*rows)
    heads: list[int] = [len(groups)]
    every: list[int] = []
    for value, rows in groups.items():
        heads += (value, len(rows))
        every += rows
    return _HEADS[len(groups)].pack(*heads) + _ROWS[len(every)].pack(*every)


def _unpacked(rule: Rule, chunk: bytes) -> Groups:
    if not rule.apart:
        return {NO_VALUE: _ROWS[len(chunk) // _ROW_BYTES].unpack(chunk)}
    return dict(_groups_of(chunk))


def _groups_of(chunk: bytes) -> list[tuple[int, tuple[int, ...]]]:
    heads = _HEADS[chunk[0]]
    _, *of_values = heads.unpack_from(chunk)
    every = _ROWS[(len(chunk) - heads.size) // _ROW_BYTES].unpack_from(chunk, heads.size)
    groups = []
    start = 0
    for value, count in zip(of_values[::2], of_values[1::2], strict=True):
        groups.append((value, every[start : (start := start + count)]))
    return groups


def _newest(rule: Rule, chunk: bytes) -> int:
    return max(rows[-1] for rows in _unpacked(rule, chunk).values())


def times_done(rule: Rule, remembered: Remembered | None, at_ms: int) -> int:
    """Return how often it was done, as a decision at `at_ms` sees it; from `most` on it may be any number that is not less.

    For rules that tell no values apart.
    """
    if remembered is None:
        return 0
    return sum(_seen(rule, _ROWS[len(chunk) // _ROW_BYTES].unpack(chunk), at_ms) for chunk in remembered.chunks)


def times_by_value(rule: Rule, remembered: Remembered | None, at_ms: int) -> dict[int, int]:
    """Return the same for every value that occurs, as `value_of` names it; `NO_VALUE` counts occurrences without one."""
    counts: dict[int, int] = {}
    if remembered is not None:
        for chunk in remembered.chunks:
            for value, rows in _groups_of(chunk):
                if seen := _seen(rule, rows, at_ms):
                    counts[value] = counts.get(value, 0) + seen
    return counts


def _seen(rule: Rule, rows: tuple[int, ...], at_ms: int) -> int:
    after = (at_ms + 1) << _COUNT_BITS
    if rule.back_ms is None:
        return sum((row & _COUNT) + 1 for row in rows if row < after)
    return bisect_left(rows, after) - bisect_left(rows, (at_ms - rule.back_ms) << _COUNT_BITS)
