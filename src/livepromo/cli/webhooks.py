"""`livepromo webhooks test`: does an endpoint take calls, and how fast?"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from livepromo.cli.errors import INPUT
from livepromo.cli.naming import unknown
from livepromo.cli.output import progress, put, say, table
from livepromo.cli.surroundings import partitions
from livepromo.model.documents import Endpoint, Identifiers
from livepromo.model.ids import UserId, hash_of
from livepromo.model.json_text import json_bytes
from livepromo.settings import Settings, load
from livepromo.telemetry import clock

if TYPE_CHECKING:
    from livepromo.delivery.retries import Outcome

_FASTEST = 10_000
_LONGEST_S = 3_600
_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))


async def call_endpoint(
    endpoint: str,
    /,
    *,
    rate: Annotated[int, Parameter(validator=Number(gte=1, lte=_FASTEST))] = 1,
    seconds: Annotated[int, Parameter(validator=Number(gte=1, lte=_LONGEST_S))] = 1,
    json: bool = False,
) -> int:
    """Call an endpoint as it is published: signed, marked with the header `livepromo-test: true`, for nobody's reward.

    One call, unless asked for more; at most `max_in_flight` of the endpoint at a time, so a slow one gets fewer than asked for. None is
    made again. Exit code 1 where one was not answered with 2xx.

    Example: `livepromo webhooks test gift-api --rate 50 --seconds 10`

    Args:
        endpoint: The endpoint's id.
        rate: So many calls a second.
        seconds: For so long.
        json: Write {endpoint, calls, seconds, calls_per_second, outcomes, answers, latency_ms: {p50, p95, p99, max}}.
    """
    from livepromo.worker.publishing_changes import read_catalogue  # noqa: PLC0415 - slow to import

    settings = load()
    await partitions(settings, "catalogue")
    catalogue = await read_catalogue(settings)
    published = {one.document.id: one.document for one in catalogue.entries.values() if isinstance(one.document, Endpoint)}
    name = endpoint.removeprefix("endpoint/")
    if name not in published:
        raise unknown("endpoint", name, published)
    began_s = clock.monotonic_s()
    outcomes = await call_at_rate(settings, published[name], rate, rate * seconds)
    found = summary(name, outcomes, clock.monotonic_s() - began_s)
    if json:
        put(json_bytes(found).decode())
    else:
        _show(found)
    failed = len(outcomes) - found["outcomes"].get("ok", 0)
    if failed:
        say(f"{failed} of {len(outcomes)} call{'s' if len(outcomes) > 1 else ''} to endpoint/{name} not answered with 2xx")
    return INPUT if failed else 0


async def call_at_rate(settings: Settings, endpoint: Endpoint, rate: int, calls: int) -> list[Outcome]:
    """Make test calls to an endpoint, so many a second, and return what became of them.

    Raises SettingsError where its secret is not set.
    """
    from livepromo.delivery.calling import Caller  # noqa: PLC0415 - slow to import
    from livepromo.delivery.signing import Call  # noqa: PLC0415
    from livepromo.rewards.payloads import NO_CONTACTS, body  # noqa: PLC0415

    caller = Caller(settings.secrets, allow_http=settings.allow_http)
    caller.check(endpoint)
    sent = body(Identifiers(), UserId("test"), NO_CONTACTS, b"1", b"{}")
    free = asyncio.Semaphore(endpoint.max_in_flight)
    outcomes: list[Outcome] = []
    began_ms, began_s = clock.wall_ms(), clock.monotonic_s()

    async def one(number: int) -> None:
        grant_id = f"gr_test_{hash_of('test', endpoint.id, began_ms, os.getpid(), number).hex()}"
        try:
            outcomes.append(await caller.call(endpoint, Call(grant_id, "test", 0, sent, item="test", test=True)))
        finally:
            free.release()

    try:
        with progress("calling", calls) as moved:
            async with asyncio.TaskGroup() as group:
                for number in range(calls):
                    early_s = began_s + number / rate - clock.monotonic_s()
                    if early_s > 0:
                        await asyncio.sleep(early_s)
                    await free.acquire()
                    group.create_task(one(number))
                    moved(1)
    finally:
        await caller.close()
    return outcomes


def summary(endpoint: str, outcomes: Sequence[Outcome], took_s: float) -> dict[str, Any]:
    """Return what became of calls: how many by outcome and by answer, how fast, and latencies in milliseconds."""
    latencies_ms = sorted(outcome.seconds * 1000 for outcome in outcomes)
    last = len(latencies_ms) - 1
    return {
        "endpoint": endpoint,
        "calls": len(outcomes),
        "seconds": round(took_s, 3),
        "calls_per_second": round(len(outcomes) / took_s, 1) if took_s else 0.0,
        "outcomes": dict(sorted(Counter(outcome.kind.value for outcome in outcomes).items())),
        "answers": dict(sorted(Counter(_answer(outcome) for outcome in outcomes).items())),
        "latency_ms": {name: round(latencies_ms[round(share * last)], 1) for name, share in _QUANTILES},
    }


def _answer(outcome: Outcome) -> str:
    return outcome.reason if outcome.status is None else str(outcome.status)


def _show(found: dict[str, Any]) -> None:
    rows = [["calls", found["calls"]], ["calls per second", found["calls_per_second"]]]
    rows += [[f"answered {name}" if name.isdigit() else name, count] for name, count in found["answers"].items()]
    rows += [[f"latency {name}", f"{value} ms"] for name, value in found["latency_ms"].items()]
    table([f"endpoint/{found['endpoint']}", ""], rows)
