"""Histories in which users are erased: the same decisions as the rules make who know nothing of such a user any more."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings

from property.drawn import BEGINNINGS, begins_of
from property.drawn_behaviour import SCALES, AudienceAuthor, AudienceWorld
from property.judging import agree, drawn
from property.restated_values import Sent


def check(random: Random, slice_records: int, batch_bytes: int) -> None:
    """Object unless the engine decides one drawn history as the rules say, in which about every eighth line erases a user."""
    begins, scale = begins_of(random.choice(BEGINNINGS)), random.choice(SCALES)
    author = AudienceAuthor(random, begins, scale, sends=random.random() < 0.5)
    documents, codes = author.documents(), author.codes()
    world = AudienceWorld(random, begins, author.spans)
    lines: list[Sent] = []
    for _ in range(random.randint(1, 60)):
        lines.append(world.line())
        if random.random() < 0.15:
            ts = world.clock - world.late_by()
            received = None if random.random() < 0.5 else ts + world.received_after()
            lines.append(world.spelled(Sent(b"", "erase", random.choice(world.users), ts, received)))
    agree(documents, codes, lines, slice_records=slice_records, batch_bytes=batch_bytes)


@settings(max_examples=300, deadline=None)
@drawn
def test_who_was_erased_is_decided_about_as_one_who_comes_anew(random: Random, slice_records: int, batch_bytes: int) -> None:
    check(random, slice_records, batch_bytes)


@pytest.mark.nightly
@settings(max_examples=10_000, deadline=None)
@drawn
def test_who_was_erased_is_decided_about_as_one_who_comes_anew_in_ten_thousand_histories(
    random: Random, slice_records: int, batch_bytes: int
) -> None:
    check(random, slice_records, batch_bytes)
