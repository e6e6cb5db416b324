"""Calls that are owed are made until delivered or given up; no endpoint waits for another; memory is bounded (R48, R69)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise

import pytest

from livepromo.delivery.dispatching import FETCHED, Dispatcher
from livepromo.delivery.pending import Place
from livepromo.delivery.retries import GivenUp, Outcome, Tries, Why
from livepromo.delivery.signing import Call
from livepromo.model.documents import Endpoint
from livepromo.telemetry.metrics import Metrics
from owed_calls import HOUR_MS, NOW_MS, OK, TIMEOUT, JumpingClock, MemoryBook, answered


class World:
    """A dispatcher, and endpoints that answer as told after some time."""

    def __init__(self, **settings: int) -> None:
        self.clock, self.book, self.metrics = JumpingClock(), MemoryBook(), Metrics()
        self.answers: dict[str, list[Outcome] | Outcome] = {}
        self.takes_ms: dict[str, int] = {}
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.made: list[tuple[int, str, str]] = []
        self.dispatcher = Dispatcher(self.call, self.book, self.metrics, time=self.clock, **settings)

    async def call(self, endpoint: Endpoint, call: Call) -> Outcome:
        name = endpoint.id
        self.made.append((self.clock.now_ms(), name, call.grant_id))
        self.now[name] += 1
        self.most[name] = max(self.most[name], self.now[name])
        try:
            await self.clock.sleep(self.takes_ms.get(name, 10))
        finally:
            self.now[name] -= 1
        answers = self.answers.get(name, OK)
        return answers if isinstance(answers, Outcome) else answers.pop(0) if answers else OK

    def endpoint(self, name: str = "e", max_in_flight: int = 16) -> None:
        self.dispatcher.know(Endpoint(name, "https://example.org", max_in_flight=max_in_flight))

    def owe(self, count: int, name: str = "e", partition: int = 0, first: int = 0, *, at_hand: bool = False) -> None:
        for offset in range(first, first + count):
            place = self.book.owe(partition, offset)
            call = self.book.calls[place] if at_hand else None
            self.dispatcher.add(place, name, NOW_MS, call=call)

    def value(self, metric: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"livepromo_{metric}", labels)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.dispatcher.close()


@pytest.mark.parametrize("at_hand", [True, False], ids=["body at hand", "body fetched"])
async def test_every_call_is_made_once_and_its_place_is_finished(world: World, at_hand: bool) -> None:
    world.endpoint()
    world.owe(300, at_hand=at_hand)
    assert world.dispatcher.lowest(0) == 0
    await world.clock.run()
    assert sorted(world.book.done) == [Place(0, offset) for offset in range(300)]
    assert len(world.made) == 300
    assert world.dispatcher.lowest(0) is None
    assert world.dispatcher.pending(0) == 0
    assert world.value("webhook_calls_total", endpoint="e", outcome="ok") == 300


async def test_an_endpoint_gets_as_many_calls_at_a_time_as_it_allows_and_no_more(world: World) -> None:
    world.endpoint(max_in_flight=3)
    world.owe(50)
    await world.clock.run()
    assert world.most["e"] == 3


async def test_a_slow_endpoint_and_a_dead_one_delay_no_other(world: World) -> None:
    for name in ("slow", "dead", "well"):
        world.endpoint(name)
    world.takes_ms |= {"slow": 14_000, "dead": 15_000}
    world.answers["dead"] = TIMEOUT
    for offset in range(3000):
        place = world.book.owe(0, offset)
        world.dispatcher.add(place, ("slow", "dead", "well")[offset % 3], NOW_MS)
    await world.clock.run(end_ms=NOW_MS + 14_000 - 1)
    took = [at_ms - NOW_MS for at_ms, name, _ in world.made if name == "well"]
    assert len(took) == 1000
    assert max(took) == 10 * (1000 // 16), "as if it were alone: 16 at a time, 10 ms each"


async def test_the_lowest_place_is_of_the_call_that_is_not_finished_yet(world: World) -> None:
    world.endpoint("dead")
    world.endpoint("well")
    world.answers["dead"] = [TIMEOUT, OK]
    world.owe(1, "dead")
    world.owe(20, "well", first=1)
    await world.clock.run(lambda: len(world.book.done) == 20)
    assert (world.dispatcher.lowest(0), world.dispatcher.pending(0)) == (0, 1)
    await world.clock.run()
    assert world.dispatcher.lowest(0) is None


async def test_a_failed_call_is_put_off_and_its_tries_are_kept_before_it_is_made_again(world: World) -> None:
    world.endpoint()
    world.answers["e"] = [answered(500), answered(503, 7_200_000), OK]
    world.owe(1)
    await world.clock.run()
    place = Place(0, 0)
    first, second = world.book.tries[place]
    assert (first.attempts, second.attempts, second.first_ms, second.status) == (1, 2, NOW_MS, 503)
    assert [at_ms for at_ms, *_ in world.made] == [NOW_MS, first.next_ms, second.next_ms]
    assert second.next_ms >= first.next_ms + 7_200_000
    assert world.book.done == [place]


async def test_a_call_goes_on_after_a_restart_with_the_tries_that_are_remembered(world: World) -> None:
    world.endpoint()
    world.answers["e"] = answered(404)
    place = world.book.owe(0, 5)
    world.dispatcher.add(place, "e", NOW_MS, Tries(2, 2, NOW_MS - HOUR_MS, NOW_MS + HOUR_MS, 404, Why.STATUS))
    await world.clock.run()
    assert [at_ms for at_ms, *_ in world.made] == [NOW_MS + HOUR_MS]
    assert world.book.ended[place] == (world.book.calls[place], GivenUp(3, NOW_MS - HOUR_MS, 404, "status 404"))
    assert world.dispatcher.lowest(0) is None


async def test_a_dead_endpoint_is_left_alone_but_for_one_call_in_a_while(world: World) -> None:
    world.endpoint()
    world.answers["e"] = TIMEOUT
    world.takes_ms["e"] = 100
    world.owe(500)
    await world.clock.run(end_ms=NOW_MS + HOUR_MS)
    world.dispatcher.report()
    assert world.value("webhook_circuit_open", endpoint="e") == 1
    later = sorted(at_ms for at_ms, *_ in world.made if at_ms > NOW_MS + 120_000)
    assert 50 < len(later) < 60
    assert all(after - before >= 60_000 for before, after in pairwise(later))


async def test_when_the_endpoint_is_well_again_everything_is_delivered(world: World) -> None:
    world.endpoint()
    world.answers["e"] = TIMEOUT
    world.owe(500)
    await world.clock.run(end_ms=NOW_MS + HOUR_MS)
    world.answers["e"] = OK
    await world.clock.run()
    assert len(world.book.done) == 500
    assert not world.book.ended
    world.dispatcher.report()
    assert world.value("webhook_circuit_open", endpoint="e") == 0


async def test_calls_to_an_endpoint_that_stays_dead_are_given_up_with_a_reason_few_of_them_tried_again(world: World) -> None:
    world.endpoint()
    world.answers["e"] = answered(503)
    world.owe(2000)
    await world.clock.run()
    assert len(world.book.ended) == 2000
    assert {end.reason for _, end in world.book.ended.values()} == {"status 503", "circuit"}
    assert all(call == world.book.calls[place] for place, (call, _) in world.book.ended.items())
    assert NOW_MS + 24 * HOUR_MS <= world.clock.now_ms() <= NOW_MS + 49 * HOUR_MS
    assert len(world.made) < 3200
    assert world.dispatcher.lowest(0) is None


async def test_a_call_whose_body_is_not_kept_any_more_is_given_up(world: World) -> None:
    world.endpoint()
    world.dispatcher.add(Place(0, 1), "e", NOW_MS)
    await world.clock.run()
    assert world.book.ended == {Place(0, 1): (None, GivenUp(0, NOW_MS, None, "gone"))}
    assert not world.made


async def test_calls_to_an_endpoint_that_is_not_known_yet_wait_for_it(world: World) -> None:
    world.owe(3)
    await world.clock.run()
    assert not world.made
    world.endpoint()
    await world.clock.run()
    assert len(world.book.done) == 3


async def test_bodies_are_fetched_together_and_only_so_many_are_held(world: World) -> None:
    world.endpoint()
    world.owe(1000)
    await world.clock.run()
    assert max(world.book.fetches) <= FETCHED
    assert len(world.book.fetches) < 40


async def test_who_adds_calls_waits_while_too_many_are_owed() -> None:
    world = World(most_pending=10)
    world.owe(10)
    waiting = asyncio.create_task(world.dispatcher.room())
    await world.clock.run()
    assert not waiting.done()
    world.endpoint()
    await world.clock.run()
    await waiting
    await world.dispatcher.close()


async def test_nothing_is_said_of_a_released_partition_and_its_next_owner_makes_its_calls_again(world: World) -> None:
    world.endpoint()
    world.takes_ms["e"] = 1_000
    world.owe(100, partition=0)
    world.owe(100, partition=1)
    await world.clock.settle()
    await world.dispatcher.release(0)
    assert world.dispatcher.lowest(0) is None
    await world.clock.run()
    assert {place.partition for place in world.book.done} == {1}
    assert len(world.book.done) == 100
    world.dispatcher.report()
    assert world.value("webhook_pending", endpoint="e") == 0
    world.owe(100, partition=0)
    await world.clock.run()
    assert len(world.book.done) == 200


async def test_a_release_while_bodies_are_fetched_makes_none_of_their_calls(world: World) -> None:
    world.endpoint()
    world.owe(10)
    await world.dispatcher.release(0)
    await world.clock.run()
    assert not world.made
    world.dispatcher.report()
    assert world.value("webhook_pending", endpoint="e") == 0


async def test_a_book_that_fails_breaks_the_dispatcher_which_makes_no_more_calls() -> None:
    class TornBook(MemoryBook):
        async def delivered(self, place: Place) -> None:
            raise RuntimeError(f"place {place.offset} cannot be noted")

    world = World()
    world.book = TornBook()
    world.dispatcher = Dispatcher(world.call, world.book, world.metrics, time=world.clock)
    world.endpoint(max_in_flight=1)
    world.owe(5)
    broken = asyncio.create_task(world.dispatcher.broken())
    await world.clock.run()
    with pytest.raises(RuntimeError, match="place 0 cannot be noted"):
        await broken
    assert len(world.made) == 1
    assert world.dispatcher.lowest(0) == 0


async def test_gauges_show_what_is_owed_and_since_when(world: World) -> None:
    world.owe(5)
    world.dispatcher.add(world.book.owe(1, 0), "e", NOW_MS - 90_500)
    world.dispatcher.report()
    assert world.value("webhook_pending", endpoint="e") == 6
    assert world.value("webhook_oldest_pending_timestamp_seconds", endpoint="e") == NOW_MS // 1000 - 91
    world.endpoint()
    await world.clock.run()
    world.dispatcher.report()
    assert world.value("webhook_pending", endpoint="e") == 0
    assert world.value("webhook_oldest_pending_timestamp_seconds", endpoint="e") == 0


async def test_all_outcomes_of_an_endpoint_are_counted_from_zero(world: World) -> None:
    world.endpoint()
    assert [world.value("webhook_calls_total", endpoint="e", outcome=one) for one in ("ok", "refused", "failed", "timeout", "blocked")] == [
        0
    ] * 5


async def test_a_slow_fetch_for_one_endpoint_delays_no_other() -> None:
    class SlowBook(MemoryBook):
        async def fetch(self, places: Sequence[Place]) -> Mapping[Place, Call]:
            if places[0].partition == 0:
                await world.clock.sleep(HOUR_MS)
            return await super().fetch(places)

    world = World()
    world.book = SlowBook()
    world.dispatcher = Dispatcher(world.call, world.book, world.metrics, time=world.clock)
    world.endpoint("a")
    world.endpoint("b")
    world.owe(10, "a", partition=0)
    world.owe(10, "b", partition=1)
    await world.clock.run(end_ms=NOW_MS + 10_000)
    assert {place.partition for place in world.book.done} == {1}
    await world.clock.run()
    assert len(world.book.done) == 20
    await world.dispatcher.close()


async def test_bodies_that_were_asked_for_before_a_release_make_no_calls_when_the_partition_comes_back() -> None:
    class SlowBook(MemoryBook):
        async def fetch(self, places: Sequence[Place]) -> Mapping[Place, Call]:
            await world.clock.sleep(1_000)
            return await super().fetch(places)

    world = World()
    world.book = SlowBook()
    world.dispatcher = Dispatcher(world.call, world.book, world.metrics, time=world.clock)
    world.endpoint()
    world.owe(10)
    await world.clock.settle()
    await world.dispatcher.release(0)
    world.owe(10)
    await world.clock.run()
    assert len(world.made) == len(world.book.done) == 10
    world.dispatcher.report()
    assert world.value("webhook_pending", endpoint="e") == 0
    await world.dispatcher.close()


async def test_calls_owed_for_days_while_nothing_ran_wait_a_day_for_an_endpoint_that_is_away(world: World) -> None:
    world.endpoint()
    world.answers["e"] = TIMEOUT
    for offset in range(500):
        world.dispatcher.add(world.book.owe(0, offset), "e", NOW_MS - 72 * HOUR_MS)
    await world.clock.run(end_ms=NOW_MS + 20 * HOUR_MS)
    assert not world.book.ended
    world.answers["e"] = OK
    await world.clock.run()
    assert len(world.book.done) == 500


async def test_while_it_is_found_out_whether_an_endpoint_is_well_the_others_wait_whatever_wakes_them(world: World) -> None:
    world.endpoint()
    world.answers["e"] = TIMEOUT
    world.owe(100)
    await world.clock.run(end_ms=NOW_MS + 60_000)
    world.takes_ms["e"] = 15_000
    await world.clock.run(lambda: world.now["e"] > 0)
    for _ in range(5):
        world.endpoint()
        await world.clock.settle()
    assert world.now["e"] == 1


async def test_calls_are_made_in_the_order_in_which_their_turns_came(world: World) -> None:
    world.owe(3, partition=5)
    world.clock.call_at(NOW_MS + 1_000, lambda: None)
    await world.clock.run()
    world.owe(3, partition=0)
    world.endpoint(max_in_flight=1)
    await world.clock.run()
    assert [place.partition for place in world.book.done] == [5, 5, 5, 0, 0, 0]
