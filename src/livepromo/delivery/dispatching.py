"""Makes the calls that are owed: to every endpoint so many at a time, none waiting for another endpoint's; bounded in memory.

How it is used: `know` the endpoints; `add` every place of an owned partition in order of offsets, with the tries that are remembered of
it; `await room()` between slices; commit nothing at or beyond `lowest(partition)`; `await release(partition)` when it is revoked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from livepromo.delivery.circuits import CLOSED, Circuit, after_try
from livepromo.delivery.pending import Pending, Place, Places, Waiting
from livepromo.delivery.retries import UNTRIED, GivenUp, Outcome, OutcomeKind, Tries, Why, after, overdue, reason_of
from livepromo.delivery.signing import Call
from livepromo.model.documents import Endpoint
from livepromo.telemetry import clock
from livepromo.telemetry.logging import Log
from livepromo.telemetry.metrics import Metrics

MOST_PENDING: Final = 1_000_000
FETCHED: Final = 64  # bodies of calls whose turn comes next, held for each endpoint
_OLDEST_S: Final = 16
log = Log("delivery.dispatching")


class Book(Protocol):
    """Where calls lie and what became of them is kept. Its methods wait while that is away; what they raise ends the dispatcher.

    They may be called for many places at once, and none may wait for another's.
    """

    async def fetch(self, places: Sequence[Place]) -> Mapping[Place, Call]:
        """Return the calls of places, read again from their topic; one that is missing is not kept any more, and is given up."""

    async def delivered(self, place: Place) -> None:
        """Note that a call was answered with 2xx. Lost, it is made again: under the same id, with the same bytes."""

    async def put_off(self, place: Place, tries: Tries) -> None:
        """Keep the tries of a call, so that a restart goes on with them. Lost, its 24 hours begin again."""

    async def give_up(self, place: Place, call: Call | None, end: GivenUp) -> None:
        """Put a call among the dead letters; returns when it is durable there. `call` is None where its body is not kept any more."""


class Timer(Protocol):
    """What can be taken back."""

    def cancel(self) -> None:
        """Do not run it."""


class Clock(Protocol):
    """What time it is, for machines that must agree about it roughly, and waking up later."""

    def now_ms(self) -> int:
        """Return the time in milliseconds UTC."""

    def call_at(self, at_ms: int, run: Callable[[], None]) -> Timer:
        """Run something at that time, or soon where it is over."""


class LoopClock:
    """The machine's wall clock, and the event loop's timers."""

    def now_ms(self) -> int:
        """Return the time in milliseconds UTC."""
        return clock.wall_ms()

    def call_at(self, at_ms: int, run: Callable[[], None]) -> Timer:
        """Run something at that time, or soon where it is over."""
        return asyncio.get_running_loop().call_later(max(0.001, (at_ms - clock.wall_ms()) / 1000), run)


class _Lane:
    """The calls to one endpoint: those that wait, those whose bodies are at hand, and how many are being made."""

    def __init__(self, name: str, metrics: Metrics) -> None:
        self.name = name
        self.endpoint: Endpoint | None = None
        self.waiting = Waiting()
        self.ready: deque[tuple[Pending, Call]] = deque()
        self.in_flight = 0
        self.probing = False
        self.fetching = False
        self.circuit: Circuit = CLOSED
        self.owed: dict[int, tuple[int, int]] = {}  # how many are owed since each span of seconds, and the oldest that ever was
        self.count = 0
        self.timer: Timer | None = None
        self.calls = {kind: metrics.webhook_calls_total.labels(endpoint=name, outcome=kind.value) for kind in OutcomeKind}
        self.seconds = metrics.webhook_seconds.labels(endpoint=name)

    def owe(self, owed_s: int) -> None:
        span = owed_s // _OLDEST_S
        count, oldest_s = self.owed.get(span, (0, owed_s))
        self.owed[span] = (count + 1, min(oldest_s, owed_s))
        self.count += 1

    def owe_no_more(self, owed_s: int) -> None:
        span = owed_s // _OLDEST_S
        count, oldest_s = self.owed[span]
        if count > 1:
            self.owed[span] = (count - 1, oldest_s)
        else:
            del self.owed[span]
        self.count -= 1

    def oldest_s(self) -> int:
        """Return since when the oldest call is owed, which may be some seconds too early; 0 while none is."""
        return self.owed[min(self.owed)][1] if self.owed else 0

    def has_due(self, now_ms: int) -> bool:
        next_ms = self.waiting.next_ms
        return next_ms is not None and next_ms <= now_ms

    def room(self, now_ms: int) -> int:
        """Return how many calls may begin now."""
        assert self.endpoint is not None, "nothing begins before the endpoint is known"
        if not self.circuit.is_open:
            return self.endpoint.max_in_flight - self.in_flight
        return 1 if now_ms >= self.circuit.until_ms and not self.probing else 0

    def overdue(self, pending: Pending, now_ms: int) -> GivenUp | None:
        """Return how a call ends whose 24 hours are over while the circuit is open, else None."""
        if not self.circuit.is_open:
            return None
        return overdue(pending.tries, max(pending.owed_s * 1000, self.circuit.since_ms), now_ms)


class Dispatcher:
    """Makes the calls of the partitions that a process owns, until each is delivered or given up (R48, R69).

    At most `max_in_flight` of an endpoint's calls are made at a time by this process, and one while it is found out whether a broken
    endpoint is well again. A call that waits takes about 110 bytes; bodies are fetched when their turn comes. While a circuit is open for
    longer than 24 hours, calls are given up in the order of their turns, so some up to a day late.
    """

    def __init__(
        self,
        make_call: Callable[[Endpoint, Call], Awaitable[Outcome]],
        book: Book,
        metrics: Metrics,
        *,
        time: Clock | None = None,
        most_pending: int = MOST_PENDING,
    ) -> None:
        self._make_call, self._book, self._metrics = make_call, book, metrics
        self._clock: Clock = LoopClock() if time is None else time
        self._most_pending = most_pending
        self._lanes: dict[str, _Lane] = {}
        self._places: dict[int, Places] = {}
        self._tasks: dict[int, set[asyncio.Task[None]]] = {}
        self._fetches: set[asyncio.Task[None]] = set()
        self._pending = 0
        self._roomy: asyncio.Future[None] | None = None  # while there is no room
        self._broken: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._closed = False

    def know(self, endpoint: Endpoint) -> None:
        """Take an endpoint as it is published now: calls to it that wait, and those that come, go there. Unknown ones' calls wait."""
        lane = self._lane(endpoint.id)
        lane.endpoint = endpoint
        self._pump(lane)

    def add(self, place: Place, endpoint: str, owed_ms: int, tries: Tries = UNTRIED, call: Call | None = None) -> None:
        """Owe a call to an endpoint since a time; places of a partition come in order. `call`: its body, where it is at hand already."""
        lane = self._lane(endpoint)
        self._places.setdefault(place.partition, Places()).add(place.offset)
        now_ms = self._clock.now_ms()
        due = tries.next_ms <= now_ms
        if not tries.next_ms:
            tries = Tries(next_ms=now_ms)  # behind those whose turn was before
        pending = Pending(place, max(0, owed_ms // 1000), tries)
        lane.owe(pending.owed_s)
        self._pending += 1
        if call is not None and due and len(lane.ready) < FETCHED and not lane.fetching and not lane.has_due(now_ms):
            lane.ready.append((pending, call))
        else:
            lane.waiting.push(pending)
        self._pump(lane)

    async def room(self) -> None:
        """Return when there is room for more calls; before that, whoever reads them should rest. Raises what broke the dispatcher."""
        while self._pending >= self._most_pending:
            if self._roomy is None:
                self._roomy = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._breaking(), self._roomy}, return_when=asyncio.FIRST_COMPLETED)
            if self._failure is not None:
                raise self._failure

    async def broken(self) -> None:
        """Return never; raise what broke the dispatcher: a mistake of ours, or of the book's."""
        await asyncio.shield(self._breaking())

    def lowest(self, partition: int) -> int | None:
        """Return the lowest place of a partition that is neither delivered nor given up; None where there is none among those added."""
        places = self._places.get(partition)
        return None if places is None else places.lowest

    def pending(self, partition: int) -> int:
        """Return how many calls of a partition are owed."""
        places = self._places.get(partition)
        return 0 if places is None else len(places)

    async def release(self, partition: int) -> None:
        """Forget a partition. Its calls that are being made are broken off, and nothing is said of them: its next owner makes them again.

        Nothing is written to the book for it any more when this returns.
        """
        if self._places.pop(partition, None) is None:
            return
        for lane in self._lanes.values():
            gone = lane.waiting.drop(partition)
            gone += [pending.owed_s for pending, _ in lane.ready if pending.place.partition == partition]
            lane.ready = deque(one for one in lane.ready if one[0].place.partition != partition)
            for owed_s in gone:
                self._forget(lane, owed_s)
        tasks = set(self._tasks.pop(partition, ()))
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Make no more calls: what is owed is forgotten here, and is still owed."""
        self._closed = True
        for lane in self._lanes.values():
            if lane.timer is not None:
                lane.timer.cancel()
        for partition in list(self._places):
            await self.release(partition)
        for task in self._fetches:
            task.cancel()
        if self._fetches:
            await asyncio.wait(self._fetches)

    def report(self) -> None:
        """Set the gauges: what is owed to each endpoint, since when, and whether its circuit is open."""
        for lane in self._lanes.values():
            self._metrics.webhook_pending.labels(endpoint=lane.name).set(lane.count)
            oldest = self._metrics.webhook_oldest_pending_timestamp_seconds.labels(endpoint=lane.name)
            oldest.set(lane.oldest_s())
            self._metrics.webhook_circuit_open.labels(endpoint=lane.name).set(lane.circuit.is_open)

    # -- one lane

    def _lane(self, name: str) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(name, self._metrics)
        return lane

    def _pump(self, lane: _Lane) -> None:
        """Begin what can begin now, fetch what comes next, and wake up when something else is due."""
        endpoint = lane.endpoint
        if self._closed or endpoint is None:
            return
        now_ms = self._clock.now_ms()
        room = lane.room(now_ms)
        while room > 0 and lane.ready:
            pending, call = lane.ready.popleft()
            self._begin(lane, endpoint, pending, call, now_ms)
            room -= 1
        if not lane.fetching and lane.has_due(now_ms):
            self._fetch_next(lane, now_ms, room)
        self._set_timer(lane, now_ms)

    def _fetch_next(self, lane: _Lane, now_ms: int, room: int) -> None:
        """Fetch the calls whose turn comes next: one where it is to be found out whether the endpoint is well, and those that end."""
        most = FETCHED - len(lane.ready)
        if lane.circuit.is_open:
            first = lane.waiting.first()
            if lane.overdue(first, now_ms) is None:
                most = 1 if room > 0 and not lane.ready else 0
        elif most < FETCHED // 2:
            return
        batch: list[Pending] = []
        while len(batch) < most and lane.has_due(now_ms):
            batch.append(lane.waiting.pop())
        if batch:
            lane.fetching = True
            homes = {place.partition: self._places[place.partition] for place, *_ in batch}
            task = asyncio.create_task(self._fetch(lane, batch, homes))
            self._fetches.add(task)
            task.add_done_callback(partial(self._fetched, lane))

    def _set_timer(self, lane: _Lane, now_ms: int) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        at_ms = now_ms if lane.ready else lane.waiting.next_ms
        if at_ms is None:
            return
        if lane.circuit.is_open:
            if lane.probing:
                return  # its end is waited for
            at_ms = max(at_ms, lane.circuit.until_ms)
        if at_ms > now_ms:  # else what is being made or fetched is waited for
            lane.timer = self._clock.call_at(at_ms, partial(self._pump, lane))

    async def _fetch(self, lane: _Lane, batch: list[Pending], homes: dict[int, Places]) -> None:
        calls = await self._book.fetch([pending.place for pending in batch])
        now_ms = self._clock.now_ms()
        for pending in batch:
            partition = pending.place.partition
            if self._places.get(partition) is not homes[partition]:
                self._forget(lane, pending.owed_s)  # released meanwhile
                continue
            call = calls.get(pending.place)
            tries = pending.tries
            end = lane.overdue(pending, now_ms)
            if call is None:
                why = reason_of(tries.why or Why.GONE, tries.status)
                end = GivenUp(tries.attempts, now_ms if tries.first_ms is None else tries.first_ms, tries.status, why)
            if end is not None:
                self._run(lane, pending, self._end(lane, pending, call, end), lambda: None)
            else:
                assert call is not None, "a call without a body has ended"
                lane.ready.append((pending, call))

    def _fetched(self, lane: _Lane, task: asyncio.Task[None]) -> None:
        self._fetches.discard(task)
        lane.fetching = False
        self._ended(lane, task)

    # -- one call

    def _begin(self, lane: _Lane, endpoint: Endpoint, pending: Pending, call: Call, now_ms: int) -> None:
        lane.in_flight += 1
        probe = lane.circuit.is_open
        lane.probing = lane.probing or probe

        def ended() -> None:
            lane.in_flight -= 1
            if probe:
                lane.probing = False

        self._run(lane, pending, self._try(lane, endpoint, pending, call, now_ms), ended)

    def _run(self, lane: _Lane, pending: Pending, work: Coroutine[None, None, None], ended: Callable[[], None]) -> None:
        tasks = self._tasks.setdefault(pending.place.partition, set())

        def done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            ended()
            if task.cancelled():
                self._forget(lane, pending.owed_s)
            self._ended(lane, task)

        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(done)

    async def _try(self, lane: _Lane, endpoint: Endpoint, pending: Pending, call: Call, began_ms: int) -> None:
        outcome = await self._make_call(endpoint, call)
        now_ms = self._clock.now_ms()
        lane.calls[outcome.kind].inc()
        lane.seconds.observe(outcome.seconds)
        self._judge(lane, outcome, now_ms)
        match after(pending.tries, outcome, call.grant_id, began_ms, now_ms):
            case None:
                await self._book.delivered(pending.place)
                self._finish(lane, pending)
            case GivenUp() as end:
                await self._end(lane, pending, call, end)
            case Tries() as tries:
                await self._book.put_off(pending.place, tries)
                lane.waiting.push(pending._replace(tries=tries))

    async def _end(self, lane: _Lane, pending: Pending, call: Call | None, end: GivenUp) -> None:
        await self._book.give_up(pending.place, call, end)
        log.info("a call is given up", endpoint=lane.name, attempts=end.attempts, reason=end.reason)
        self._finish(lane, pending)

    def _judge(self, lane: _Lane, outcome: Outcome, now_ms: int) -> None:
        before = lane.circuit
        lane.circuit = after_try(before, outcome, now_ms)
        if lane.circuit.is_open != before.is_open:
            if lane.circuit.is_open:
                log.warning(
                    "calls are withheld: the endpoint fails", endpoint=lane.name, failures=lane.circuit.failures, last=outcome.reason
                )
            else:
                log.info("the endpoint answers again", endpoint=lane.name)

    # -- afterwards

    def _ended(self, lane: _Lane, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._break(error)
        self._pump(lane)

    def _finish(self, lane: _Lane, pending: Pending) -> None:
        self._places[pending.place.partition].finish(pending.place.offset)
        self._forget(lane, pending.owed_s)

    def _forget(self, lane: _Lane, owed_s: int) -> None:
        lane.owe_no_more(owed_s)
        self._pending -= 1
        if self._roomy is not None and self._pending < self._most_pending:
            self._roomy.set_result(None)
            self._roomy = None

    def _breaking(self) -> asyncio.Future[None]:
        if self._broken is None:
            self._broken = asyncio.get_running_loop().create_future()
            if self._failure is not None:
                self._broken.set_exception(self._failure)
        return self._broken

    def _break(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._closed = True
        broken = self._breaking()
        if not broken.done():
            broken.set_exception(self._failure)
