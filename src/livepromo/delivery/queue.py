"""What stands in the topic of calls: each call to an endpoint as it was fixed when its grant was decided."""

from __future__ import annotations

import msgspec

from livepromo.delivery.signing import Call
from livepromo.ledger.formats import unversioned, versioned
from livepromo.model.decisions import Grant
from livepromo.model.ids import CampaignId, GrantId

FORMAT = 1
ITEM, WALLET = "item", "wallet"
REPLAY_KEY = b"@replay"
"""The key of a call that is sent again. Under a grant's id stands one that counts only where a record of the ledger names its place."""


class QueuedCall(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A call that a grant makes, complete but for what the endpoint's document in force says. `repr` has no body: it names the user.

    `gift` is `item` or `wallet`, `gift_id` which.
    """

    grant_id: GrantId
    campaign: CampaignId
    revision: int
    endpoint: str
    gift: str
    gift_id: str
    body: bytes

    def __repr__(self) -> str:
        """Name the grant and the endpoint."""
        return f"QueuedCall({self.grant_id} of {self.campaign} to {self.endpoint})"

    def as_call(self) -> Call:
        """Return the call as it is made."""
        item, wallet = (self.gift_id, None) if self.gift == ITEM else (None, self.gift_id)
        return Call(self.grant_id, self.campaign, self.revision, self.body, item, wallet)


_calls = msgspec.msgpack.Decoder(QueuedCall)


def queued(grant: Grant) -> QueuedCall:
    """Return the call of a grant of a custom reward: a function of the grant, so a repeat is the same, byte for byte."""
    candidate = grant.candidate
    call = candidate.call
    assert call is not None, f"{candidate!r} calls nobody"
    return QueuedCall(
        candidate.grant_id,
        candidate.campaign,
        candidate.revision,
        call.endpoint,
        call.gift,
        call.gift_id,
        grant.call_body(),
    )


def encode_call(call: QueuedCall) -> bytes:
    """Return the value of a record of the topic; its key is the grant's id."""
    return versioned(FORMAT, call)


def decode_call(value: bytes) -> QueuedCall:
    """Return what `encode_call` wrote. Raises FormatError."""
    return unversioned(value, FORMAT, _calls, "a call on its way to an endpoint")


def queued_again(endpoint: str, call: Call) -> QueuedCall:
    """Return a call as it was queued."""
    gift, gift_id = (ITEM, call.item) if call.item is not None else (WALLET, call.wallet)
    assert gift_id is not None, f"{call!r} gives nothing"
    return QueuedCall(GrantId(call.grant_id), CampaignId(call.campaign), call.revision, endpoint, gift, gift_id, call.body)
