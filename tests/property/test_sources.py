"""Which candidates are new: against a restatement that remembers everything, and a log matched by owners who come and go."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.ledger.sources import CandidateBatch, Source, admit, admit_all, remember_all, remembered
from livepromo.model.ids import GrantId
from livepromo.model.records import Position
from unit.ledger.builders import a_candidate, a_grant_id

CANDIDATES = [a_candidate(number=offset * 2 + step, at=offset, step=step) for offset in range(12) for step in range(2)]
batches = st.builds(
    CandidateBatch,
    st.just(0),
    st.integers(0, 3),
    st.builds(Position, st.integers(0, 12), st.integers(0, 1)),
    st.lists(st.sampled_from(CANDIDATES), max_size=6).map(tuple),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(batches, max_size=25), st.sets(st.sampled_from([c.grant_id for c in CANDIDATES])))
def test_what_is_admitted_is_what_someone_who_remembers_everything_would_admit(history: list[CandidateBatch], denied: set[GrantId]) -> None:
    source: Source | None = None
    ever_granted: set[GrantId] = set()
    epochs, positions = [-1], [Position(0, 0)]
    for batch in history:
        expected: list[GrantId] = []
        if batch.epoch >= max(epochs):
            epochs.append(batch.epoch)
            positions.append(batch.durable)
            for candidate in batch.candidates:
                new = candidate.grant_id not in ever_granted and candidate.grant_id not in expected
                if new and candidate.position >= max(positions):
                    expected.append(candidate.grant_id)
        source, admitted = admit(source, batch)
        assert [candidate.grant_id for candidate in admitted] == expected
        assert (source.epoch, source.durable) == (max(epochs), max(positions))
        granted = [candidate for candidate in admitted if candidate.grant_id not in denied]
        ever_granted |= {candidate.grant_id for candidate in granted}
        source = remembered(source, [(candidate.grant_id, candidate.position) for candidate in granted])
        assert all(position >= source.durable for position in source.ids.values())


class Owner:
    """An owner of a source partition as `decide` sees it: batches in order, and a state that is durable a step after each."""

    def __init__(self, epoch: int, durable: int) -> None:
        self.epoch, self.durable, self.sent = epoch, durable, durable
        self.named = False


def test_candidates_of_a_log_are_granted_once_each_whoever_matched_it_and_however_they_were_grouped() -> None:
    length = 60
    for seed in range(300):
        random = Random(seed)
        sent: list[CandidateBatch] = []
        owners, state, epoch = [Owner(0, 0)], 0, 0
        while state < length:
            if random.random() < 0.12:  # a takeover: the state of the old owner is fenced, but its candidates may still come
                epoch += 1
                owners = [*owners[-1:], Owner(epoch, state)]
            owner = random.choice(owners)
            newest = owner is owners[-1]
            if not owner.named:
                sent.append(CandidateBatch(0, owner.epoch, Position(owner.durable, 0)))
                owner.named = True
            elif owner.sent > owner.durable and newest and random.random() < 0.7:
                owner.durable = state = owner.sent
            else:
                end = min(length, owner.durable + random.randint(1, 7)) if owner.sent == owner.durable else owner.sent
                made = tuple(a_candidate(number=offset) for offset in range(owner.durable, end) if offset % 3)
                sent.append(CandidateBatch(0, owner.epoch, Position(owner.durable, 0), made))
                owner.sent = end
        sources: dict[int, Source] = {}
        granted: list[GrantId] = []
        at = 0
        while at < len(sent):
            end = at + random.randint(1, 5)
            changed, new = admit_all(sources, sent[at:end])
            sources |= changed
            granted += [candidate.grant_id for _, candidate in new]
            sources |= remember_all(sources, [(source, c.grant_id, c.position) for source, c in new])
            assert len(sources[0].ids) <= 14
            at = end
        assert sorted(granted) == sorted(a_grant_id(offset) for offset in range(length) if offset % 3), seed
