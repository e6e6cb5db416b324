"""`livepromo webhooks list` and `replay`: calls that were given up, and sending them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepromo.cli.errors import UsageError
from livepromo.cli.instants import since_ms
from livepromo.cli.naming import unknown
from livepromo.cli.output import put, say, table
from livepromo.cli.surroundings import partitions
from livepromo.model.json_text import json_bytes
from livepromo.model.time import from_ms
from livepromo.settings import Settings, load
from livepromo.telemetry import clock

if TYPE_CHECKING:
    from livepromo.delivery.given_up import DeadCall


async def list_calls(*, endpoint: str | None = None, campaign: str | None = None, since: str | None = None, json: bool = False) -> None:
    """Show the calls that were given up and not sent again since, the oldest first; nothing of them tells who the user is.

    A call is given up after 24 hours, or after the third answer that says that it never will be taken (410, and any 4xx but 408, 425 and
    429). It is kept for as long as the topic of dead letters keeps it: 7 days.

    Example: `livepromo webhooks list --endpoint gift-api --since 2h`

    Args:
        endpoint: Only calls to this endpoint.
        campaign: Only calls of this campaign.
        since: Only what was given up since then: an instant, or a duration back from now.
        json: Write an array of {grant_id, campaign, endpoint, status, reason, attempts, given_up_at}; the last in milliseconds.
    """
    settings = load()
    found = _selected(await _given_up(settings), endpoint, campaign, since_ms(since, settings, clock.wall_ms()), [])
    if json:
        put(json_bytes([_as_json(dead) for dead in found]).decode())
        return
    rows = [
        [
            f"{from_ms(dead.given_up_ms):%Y-%m-%dT%H:%M:%SZ}",
            dead.grant_id,
            dead.campaign,
            dead.endpoint,
            dead.status,
            dead.reason,
            dead.attempts,
        ]
        for dead in found
    ]
    table(["given up", "grant", "campaign", "endpoint", "status", "reason", "tries"], rows)


async def replay(
    *grant: str,
    endpoint: str | None = None,
    campaign: str | None = None,
    since: str | None = None,
    everything: bool = False,
    json: bool = False,
) -> None:
    """Send calls that were given up again, under the same ids and with the same bytes: a receiver that had one of them knows it by its id.

    A worker makes them, with 24 hours to try, to the endpoint as it is published then. What is selected must fit all that is said.

    Example: `livepromo webhooks replay --endpoint gift-api --since 2h`

    Args:
        grant: The ids of grants; any, if none is given.
        endpoint: Only calls to this endpoint.
        campaign: Only calls of this campaign.
        since: Only what was given up since then: an instant, or a duration back from now.
        everything: All that were given up.
        json: Write {sent, gone}: how many are on their way again, and how many are not, since their body is not kept any more.
    """
    from livepromo.worker.given_up_calls import send_again  # noqa: PLC0415 - slow to import

    if not everything and not grant and (endpoint, campaign, since) == (None, None, None):
        raise UsageError("nothing is selected: name grants, --endpoint, --campaign or --since, or say --everything")
    settings = load()
    dead = await _given_up(settings)
    known = {one.grant_id for one in dead}
    for name in grant:
        if name not in known:
            raise unknown("call that was given up of the grant", name, known)
    found = _selected(dead, endpoint, campaign, since_ms(since, settings, clock.wall_ms()), grant)
    sent = await send_again(settings, found)
    if json:
        put(json_bytes({"sent": sent, "gone": len(found) - sent}).decode())
        return
    gone = f"; {len(found) - sent} not, since the body is not kept any more" if sent < len(found) else ""
    say(f"{sent} call{'' if sent == 1 else 's'} on the way again{gone}")


async def _given_up(settings: Settings) -> list[DeadCall]:
    from livepromo.worker.given_up_calls import given_up  # noqa: PLC0415 - slow to import

    there = await partitions(settings, "webhooks", "webhooks.dead-letters")
    return await given_up(settings, there[settings.topic("webhooks.dead-letters")])


def _selected(
    dead: list[DeadCall], endpoint: str | None, campaign: str | None, earliest_ms: int, grants: list[str] | tuple[str, ...]
) -> list[DeadCall]:
    endpoint, campaign = endpoint and endpoint.removeprefix("endpoint/"), campaign and campaign.removeprefix("campaign/")
    return [
        one
        for one in dead
        if endpoint in {None, one.endpoint}
        and campaign in {None, one.campaign}
        and one.given_up_ms >= earliest_ms
        and (not grants or one.grant_id in grants)
    ]


def _as_json(dead: DeadCall) -> dict[str, object]:
    return {
        "grant_id": dead.grant_id,
        "campaign": dead.campaign,
        "endpoint": dead.endpoint,
        "status": dead.status,
        "reason": dead.reason,
        "attempts": dead.attempts,
        "given_up_at": dead.given_up_ms,
    }
