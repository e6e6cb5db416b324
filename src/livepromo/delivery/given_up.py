"""Calls that are given up: what is kept of them, and who looks at that sees no user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from livepromo.delivery.queue import QueuedCall, decode_call, encode_call
from livepromo.delivery.retries import GivenUp

OutRecord = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
_SENT_AGAIN = ("sent-again", b"true")


class DeadCall(NamedTuple):
    """A call among the dead letters. `value` is the call as it was queued, None where its body was not kept any more."""

    grant_id: str
    campaign: str
    endpoint: str
    status: int | None
    reason: str
    attempts: int
    given_up_ms: int
    partition: int
    value: bytes | None

    @property
    def call(self) -> QueuedCall | None:
        """The call, to be sent again."""
        return None if self.value is None else decode_call(self.value)


def dead_letter(endpoint: str, call: QueuedCall | None, end: GivenUp, grant_id: str = "") -> OutRecord:
    """Return the record that keeps a call that is given up: whole, with the last status and the reason in the headers."""
    headers = [
        ("endpoint", endpoint.encode()),
        ("reason", end.reason.encode()),
        ("status", b"" if end.status is None else b"%d" % end.status),
        ("attempts", b"%d" % end.attempts),
    ]
    if call is None:
        return grant_id.encode() or None, None, headers
    headers += [("grant-id", call.grant_id.encode()), ("campaign", call.campaign.encode())]
    return call.grant_id.encode(), encode_call(call), headers


def sent_again(grant_id: str) -> OutRecord:
    """Return the record that says that a dead letter is none any more."""
    return grant_id.encode(), None, (_SENT_AGAIN,)


def dead_call(
    partition: int, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
) -> DeadCall | None:
    """Return what a record of the dead letters says; None for one that says that the call was sent again."""
    said = {name: text.decode() for name, text in headers}
    if _SENT_AGAIN[0] in said:
        return None
    return DeadCall(
        "" if key is None else key.decode(),
        said.get("campaign", ""),
        said["endpoint"],
        int(said["status"]) if said["status"] else None,
        said["reason"],
        int(said["attempts"]),
        timestamp_ms,
        partition,
        value,
    )
