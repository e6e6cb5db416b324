"""Which exit code an error has: 1 the input is wrong, 2 arguments or settings, 3 Kafka or Redis; all others are bugs."""

from __future__ import annotations

from typing import Final

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


# By name: a command that needs none of these rooms must not pay for importing them.
_EXIT_CODES: Final = {
    "livepromo.cli.errors.InputError": INPUT,
    "livepromo.simulation.files.InputError": INPUT,
    "livepromo.settings.SettingsError": USAGE,
    "livepromo.cli.errors.UnreachableError": OUTSIDE,
    "livepromo.cli.errors.UnfitError": OUTSIDE,
    "livepromo.streaming.errors.UnavailableError": OUTSIDE,
    "livepromo.streaming.errors.DoesNotFitError": OUTSIDE,
    "livepromo.ledger.table.UnavailableError": OUTSIDE,
    "livepromo.ledger.redis_table.EvictingError": OUTSIDE,
    "livepromo.ledger.formats.FormatError": OUTSIDE,
    "livepromo.sandbox.servers.ServerError": OUTSIDE,
}


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an error that a user can do something about; None for all others."""
    for kind in type(error).__mro__:
        code = _EXIT_CODES.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            return code
    return None
