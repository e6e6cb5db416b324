"""The names of the records in which the state of a partition is kept: one for each part of a user."""

from __future__ import annotations

from livepromo.model.formats import FormatError
from livepromo.model.ids import CampaignId, UserId

FORMAT = 1
RULE_BYTES = 8
WHO = b"u:"
WINDOWS = b"w:"
MEMORY = b"o:"
SENT = b"s:"
ERASED = b"x:"
HISTORY = b"h:"
SCAN = b"c:"
SCANNED = b"j:"
_VERSION = bytes((FORMAT,))


def who_key(user: UserId) -> bytes:
    """Return the key of a user's profile and memberships."""
    return WHO + user.encode()


def windows_key(user: UserId, group: str) -> bytes:
    """Return the key of a user's windows of one campaign and constant value."""
    return b"%b%d:%b%b" % (WINDOWS, len(user.encode()), user.encode(), group.encode())


def memory_key(user: UserId, rule: bytes, number: int) -> bytes:
    """Return the key of some of a user's occurrences under a rule: the `number`th chunk of them."""
    return b"%b%b%d:%b" % (MEMORY, rule, number, user.encode())


def sent_key(campaign: CampaignId) -> bytes:
    """Return the key of how far a campaign has been sent."""
    return SENT + campaign.encode()


def erased_key(mark: bytes) -> bytes:
    """Return the key of where somebody was erased, of whom a hash is left."""
    return ERASED + mark


def history_key(rule: bytes) -> bytes:
    """Return the key of where occurrences of a rule are kept."""
    return HISTORY + rule


def scan_key(scan: int) -> bytes:
    """Return the key of how far a scan has come."""
    return b"%b%d" % (SCAN, scan)


def scanned_key(scan: int, hour: int, batch: str, start: int) -> bytes:
    """Return the key of a part of ids of one hour that were met while a scan was read, made durable with a batch; never written twice."""
    return b"%b%d:%d:%b:%d" % (SCANNED, scan, hour, batch.encode(), start)


def read_scanned_key(key: bytes) -> tuple[int, int]:
    """Return the scan and the hour of a key that `scanned_key` made."""
    _, scan, hour, *_ = key.split(b":")
    return int(scan), int(hour)


def read_windows_key(key: bytes) -> tuple[UserId, str]:
    """Return what `windows_key` was made of."""
    length, _, rest = key[len(WINDOWS) :].partition(b":")
    end = int(length)
    return rest[:end].decode(), rest[end:].decode()  # type: ignore[return-value] # UserId(user): a call more, of millions


def read_memory_key(key: bytes) -> tuple[UserId, bytes, int]:
    """Return what `memory_key` was made of."""
    start = len(MEMORY)
    number, _, user = key[start + RULE_BYTES :].partition(b":")
    return UserId(user.decode()), key[start : start + RULE_BYTES], int(number)


def versioned(payload: bytes) -> bytes:
    """Return a part behind the version of its format."""
    return _VERSION + payload


def unversioned(part: bytes) -> bytes:
    """Return a part without the version. Raises FormatError for one that this version does not know."""
    if part[:1] != _VERSION:
        raise FormatError(
            f"a part of a user in format {part[0] if part else 'none'}, this version knows {FORMAT}: run the version that wrote it"
        )
    return part[1:]
