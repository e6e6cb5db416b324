"""The memory of ids against a list of everything ever taken."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.behaviour.repeats import RecentIds, pack
from livepromo.model.time import HOUR_MS

T = 1764547200000
REPEATS_MS, LATENESS_MS = 3 * HOUR_MS, 2 * HOUR_MS
# Times on and beside the edges of hours and of the memory, and a few others.
TIMES = st.builds(lambda hours, rest: hours * HOUR_MS + rest, st.integers(0, 14), st.sampled_from([0, 1, -1, 1_800_000]))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), TIMES, st.booleans()), max_size=60))
def test_a_repeat_is_what_was_taken_within_the_time_of_repeats(arrivals: list[tuple[int, int, bool]]) -> None:
    memory = RecentIds(REPEATS_MS, LATENESS_MS)
    taken: list[tuple[int, int]] = []
    stream_ms = 0
    for key, after_ms, restart in arrivals:
        ts_ms = T + after_ms
        if ts_ms < stream_ms - LATENESS_MS:
            continue  # too late: a dead letter
        repeats = any(key == other and abs(ts_ms - other_ms) <= REPEATS_MS for other, other_ms in taken)
        assert memory.seen(key, ts_ms) is repeats
        if repeats:
            continue
        taken.append((key, ts_ms))
        memory.add(key, ts_ms)
        stream_ms = max(stream_ms, ts_ms)
        before = memory.hours()
        gone = memory.expire(stream_ms)
        assert gone == [hour for hour in before if (hour + 1) * HOUR_MS - 1 < stream_ms - REPEATS_MS - LATENESS_MS]
        assert sorted(gone + memory.hours()) == before
        if restart:
            kept = [(hour, pack(memory.bucket(hour))) for hour in memory.hours()]
            memory = RecentIds(REPEATS_MS, LATENESS_MS)
            for hour, packed in reversed(kept):
                memory.add_many(hour, packed)
        assert len(memory) == len([at for _, at in taken if at // HOUR_MS in memory.hours()])
