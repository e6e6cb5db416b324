"""livepromo pause, resume, stop: interventions in a campaign."""

from __future__ import annotations

from typing import Literal

from livepromo.cli.errors import InputError
from livepromo.cli.naming import campaign_id, unknown, who
from livepromo.cli.output import say
from livepromo.cli.publishing import wait_until_taken
from livepromo.cli.surroundings import partitions
from livepromo.documents.catalogue import Catalogue, Intervention, State, Verb, campaign_key
from livepromo.model.ids import CampaignId
from livepromo.settings import load

_DONE = {"pause": "paused", "resume": "resumed", "stop": "stopped"}


async def pause(campaign: str, /, *, by: str | None = None, no_wait: bool = False) -> None:
    """Let a campaign rest: events that are read while it is paused earn nothing, now or later.

    Example: `livepromo pause cart-rescue --by anna`

    Args:
        campaign: The campaign's id.
        by: Who pauses it, for the history; the login name if not said.
        no_wait: Do not wait until the partitions have taken it.
    """
    await _intervene("pause", campaign, by, no_wait=no_wait)


async def resume(campaign: str, /, *, by: str | None = None, no_wait: bool = False) -> None:
    """Let a paused campaign go on.

    Example: `livepromo resume cart-rescue --by anna`

    Args:
        campaign: The campaign's id.
        by: Who resumes it, for the history; the login name if not said.
        no_wait: Do not wait until the partitions have taken it.
    """
    await _intervene("resume", campaign, by, no_wait=no_wait)


async def stop(campaign: str, /, *, by: str | None = None, no_wait: bool = False) -> None:
    """End a campaign for good: it cannot be resumed, and its id is used up.

    Example: `livepromo stop cart-rescue --by anna`

    Args:
        campaign: The campaign's id.
        by: Who stops it, for the history; the login name if not said.
        no_wait: Do not wait until the partitions have taken it.
    """
    await _intervene("stop", campaign, by, no_wait=no_wait)


async def _intervene(word: Literal["pause", "resume", "stop"], name: str, by: str | None, *, no_wait: bool) -> None:
    from livepromo.worker.publishing_changes import publish  # noqa: PLC0415 - slow to import

    settings = load()
    campaign = campaign_id(name)
    await partitions(settings, "catalogue", "state")
    taken = await publish(settings, lambda catalogue: intervention(catalogue, word, campaign, who(by)))
    if taken is None:
        say(f"campaign/{campaign}: nothing changed, it {_IS[word]}")
        return
    say(f"campaign/{campaign}: {_DONE[word]}")
    if not no_wait:
        await wait_until_taken(settings, taken)


_IS = {"pause": "is paused already", "resume": "is not paused", "stop": "was stopped already"}


def intervention(catalogue: Catalogue, word: Literal["pause", "resume", "stop"], campaign: str, by: str) -> Intervention | None:
    """Return what is to be published, or None where the campaign is as asked for already. Raises InputError where it cannot be done."""
    entry = catalogue.entries.get(campaign_key(CampaignId(campaign)))
    if entry is None:
        raise unknown("campaign", campaign, (key.removeprefix("campaign/") for key in catalogue.entries if key.startswith("campaign/")))
    reached: dict[str, State] = {"pause": State.PAUSED, "resume": State.RUNNING, "stop": State.STOPPED}
    if entry.state is reached[word]:
        return None
    if entry.state is State.STOPPED:
        raise InputError(f"campaign/{campaign} was stopped, which is final: publish it under another id")
    return Intervention(by, Verb(word), CampaignId(campaign))
