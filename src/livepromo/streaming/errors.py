"""What can go wrong between us and the log, said without the words of any client library."""

from __future__ import annotations


class FencedError(Exception):
    """Another claim on the partition is newer: nothing of what was to be appended is in the log, and the process must end."""


class ClaimTooOldError(FencedError):
    """The claim is so old that the broker may have forgotten it, so nobody could be fenced by it any more; nothing was appended."""


class UnknownOutcomeError(Exception):
    """Whether the records are in the log cannot be known here: the process must end, and the next owner reads what happened."""


class UnavailableError(Exception):
    """Kafka is away, or does not answer in time; nothing was decided, so the same may be asked again."""


class RecordTooLargeError(Exception):
    """The topic does not take a record of this size; it is not in the log, and never will be."""


class DoesNotFitError(Exception):
    """What Kafka holds does not fit what we expect; only an operator can say what is right."""


class RefusedError(DoesNotFitError):
    """Kafka does not know us, or does not allow what we ask for, and will not until an operator has changed that."""


class FormatError(DoesNotFitError):
    """A record of a journal is not in a format that this version reads."""


class PositionLostError(DoesNotFitError):
    """The position from which to go on lies outside of what the log still holds."""


class MissingTopicError(DoesNotFitError):
    """A topic, or a partition of it, is not there."""
