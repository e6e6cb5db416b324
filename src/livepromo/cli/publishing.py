"""What the commands that publish have in common: they say which partitions have not taken it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepromo.cli.output import say
from livepromo.settings import Settings

if TYPE_CHECKING:
    from livepromo.worker.publishing import Taken

WAIT_S = 10.0


async def wait_until_taken(settings: Settings, taken: Taken) -> None:
    """Return when every partition has taken a publication, or say after 10 s which have not: it is published either way."""
    from livepromo.worker.publishing_changes import not_taken_by  # noqa: PLC0415 - Kafka's client is slow to import

    missing = await not_taken_by(settings, taken.offset + 1, WAIT_S)
    if missing:
        named = ", ".join(map(str, missing))
        which = f"partition {named} of {settings.events} has" if len(missing) == 1 else f"partitions {named} of {settings.events} have"
        say(f"published, but {which} not taken it yet: does no worker run?")
