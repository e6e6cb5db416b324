"""The whole engine over recorded records, against the rules restated: the same decisions, in the same order, to the last digit.

With rewards of every type.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import settings

from property.drawn import BEGINNINGS, Author, World, begins_of
from property.judging import agree, drawn

pytestmark = pytest.mark.timeout(300)  # a thousand histories, on a machine that has other things to do


def check(random: Random, slice_records: int, batch_bytes: int) -> None:
    """Object unless the engine decides one drawn history of documents and records as the rules say, whatever the sizes of its slices."""
    begins = begins_of(random.choice(BEGINNINGS))
    author = Author(random, begins)
    documents, codes = author.documents(), author.codes()
    world = World(random, begins)
    agree(documents, codes, [world.line() for _ in range(random.randint(1, 60))], slice_records=slice_records, batch_bytes=batch_bytes)


@settings(max_examples=300, deadline=None)
@drawn
def test_every_decision_is_what_the_rules_say(random: Random, slice_records: int, batch_bytes: int) -> None:
    check(random, slice_records, batch_bytes)


@pytest.mark.nightly
@settings(max_examples=10_000, deadline=None)
@drawn
def test_every_decision_is_what_the_rules_say_of_ten_thousand_histories(random: Random, slice_records: int, batch_bytes: int) -> None:
    check(random, slice_records, batch_bytes)
