"""Which exit code an error has: 1 the input is wrong, 2 arguments or settings, 3 Kafka or Redis; all others are bugs."""

from __future__ import annotations

from typing import Final, NamedTuple

from livepromo.settings import SettingsError

INPUT: Final = 1
USAGE: Final = 2
OUTSIDE: Final = 3


class InputError(Exception):
    """What was handed in is wrong: documents, records, codes; one line says what and what would be right."""


class UsageError(SettingsError):
    """Arguments that do not go together, or name what is not there."""


class UnreachableError(Exception):
    """Kafka or Redis cannot be reached; one line says which, where it was looked for, and what to do."""


class UnfitError(Exception):
    """What Kafka or Redis hold does not fit: partitions, topic settings, lost state, a Redis that evicts; one line says what to do."""


class Ending(NamedTuple):
    """The exit code of an error, and what to say after its own words."""

    code: int
    hint: str = ""


# By name: a command that needs none of these rooms must not pay for importing them.
ENDINGS: Final = {
    "livepromo.cli.errors.InputError": Ending(INPUT),
    "livepromo.simulation.files.InputError": Ending(INPUT),
    "livepromo.settings.SettingsError": Ending(USAGE),
    "livepromo.cli.errors.UnreachableError": Ending(OUTSIDE),
    "livepromo.cli.errors.UnfitError": Ending(OUTSIDE),
    "livepromo.streaming.errors.UnavailableError": Ending(OUTSIDE, ": does it run, and does LIVEPROMO_KAFKA say where?"),
    "livepromo.streaming.errors.DoesNotFitError": Ending(OUTSIDE),
    "livepromo.streaming.errors.FencedError": Ending(OUTSIDE),
    "livepromo.streaming.errors.UnknownOutcomeError": Ending(OUTSIDE, ": run it again"),
    "livepromo.ledger.table.UnavailableError": Ending(OUTSIDE, ": does Redis run, and does LIVEPROMO_REDIS say where?"),
    "livepromo.ledger.table.RefusedError": Ending(OUTSIDE),
    "livepromo.ledger.redis_table.EvictingError": Ending(OUTSIDE),
    "livepromo.model.formats.FormatError": Ending(OUTSIDE),
    "livepromo.worker.publishing_changes.VoidError": Ending(INPUT),
    "livepromo.worker.publishing_changes.TooLargeError": Ending(INPUT),
    "livepromo.sandbox.servers.ServerError": Ending(OUTSIDE),
}


def ending(error: Exception) -> Ending | None:
    """Return how the command ends for an error that a user can do something about; None for all others."""
    for kind in type(error).__mro__:
        known = ENDINGS.get(f"{kind.__module__}.{kind.__qualname__}")
        if known is not None:
            return known
    return None
