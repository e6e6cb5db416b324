"""What is said of stored content that this release cannot read."""

from __future__ import annotations


class FormatError(ValueError):
    """What is stored was written in a format that this release does not read, or is damaged; the message says which and what to do."""
