"""What is written down of a call: the body that the rules say, fixed with the grant; nobody sees it by accident; receivers verify it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from livepromo.delivery.given_up import dead_call, dead_letter, sent_again
from livepromo.delivery.queue import decode_call, encode_call, queued, queued_again
from livepromo.delivery.retries import GivenUp
from livepromo.delivery.signing import Signer, headers_of
from livepromo.model.decisions import Candidate, Grant, OwedCall
from livepromo.model.documents import Endpoint
from livepromo.model.formats import FormatError
from livepromo.model.ids import CampaignId, GrantId, UserId
from livepromo.model.records import Position

SECRET = "whsec_b2YgdGhlIGdpZnQgc2hvcCwgMjQgYnl0ZQ=="  # noqa: S105 - nobody has it
DOCS = Path(__file__).parents[3] / "docs" / "webhooks.md"


def a_grant(*, units: int = 1234, gift: str = "wallet") -> Grant:
    contacts = b'{"user":{"userId":"u1","email":"a@mail.example","phone":"+44 1"},"reward":{"type":"custom","value":'
    candidate = Candidate(
        grant_id=GrantId("gr_" + 32 * "7"),
        campaign=CampaignId("camp"),
        revision=3,
        user=UserId("u1"),
        decided_at_ms=1,
        cause=b'{"kind":"did"}',
        reward_type="custom",
        reward_pieces=(
            b'{"type":"custom","endpoint":"gifts","wallet":"cash","value":',
            b',"payload":{"user":{"userId":"u1"},"reward":{"type":"custom","value":',
            b',"metadata":{"a":1}}}',
        ),
        amount_units=2000,
        decimals=2,
        partial=True,
        limits=(),
        received_ms=None,
        position=Position(1, 0),
        call=OwedCall("gifts", gift, "cash", contacts),
    )
    return Grant(candidate, units, ())


def test_the_body_has_the_amount_that_was_granted_and_alone_tells_email_and_phone() -> None:
    grant = a_grant()
    assert json.loads(queued(grant).body) == {
        "user": {"userId": "u1", "email": "a@mail.example", "phone": "+44 1"},
        "reward": {"type": "custom", "value": 12.34, "metadata": {"a": 1}},
    }
    published = json.loads(grant.as_json())["reward"]
    assert published["payload"] == {"user": {"userId": "u1"}, "reward": {"type": "custom", "value": 12.34, "metadata": {"a": 1}}}
    assert published["requested"] == 20
    assert b"mail.example" not in grant.as_json()


def test_a_candidate_carries_its_call_through_the_topic_and_shows_nothing_of_it() -> None:
    candidate = a_grant().candidate
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(candidate), type=Candidate) == candidate
    for shown in (repr(candidate), repr(a_grant()), repr(candidate.call), repr(queued(a_grant())), repr(queued(a_grant()).as_call())):
        assert "mail.example" not in shown
        assert "+44" not in shown


@pytest.mark.parametrize("gift", ["item", "wallet"])
def test_a_call_is_read_as_it_was_written_and_queued_again_as_it_was(gift: str) -> None:
    call = queued(a_grant(gift=gift))
    assert decode_call(encode_call(call)) == call
    assert queued_again("gifts", call.as_call()) == call
    assert (call.as_call().item, call.as_call().wallet) == (("cash", None) if gift == "item" else (None, "cash"))


@pytest.mark.parametrize("value", [b"", b"\x02\x90", b"\x01\xc0", b"{}"])
def test_what_is_no_call_is_refused(value: bytes) -> None:
    with pytest.raises(FormatError, match="a call on its way to an endpoint"):
        decode_call(value)


@pytest.mark.parametrize("status", [410, None])
def test_a_dead_letter_keeps_the_call_and_says_why_and_nothing_of_the_user_in_its_headers(status: int | None) -> None:
    call = queued(a_grant())
    key, value, headers = dead_letter("gifts", call, GivenUp(3, 5, status, "timeout"))
    assert not any(b"mail" in text or b"u1" in text for _, text in headers)
    dead = dead_call(2, 99, key, value, headers)
    assert dead is not None
    assert (dead.grant_id, dead.campaign, dead.endpoint) == (call.grant_id, "camp", "gifts")
    assert (dead.status, dead.reason, dead.attempts, dead.given_up_ms, dead.partition) == (status, "timeout", 3, 99, 2)
    assert value is not None
    assert decode_call(value) == call


def test_one_that_was_sent_again_is_no_dead_letter_and_one_without_body_still_is() -> None:
    assert dead_call(0, 1, *sent_again("gr_1")) is None
    gone = dead_call(0, 1, *dead_letter("", None, GivenUp(0, 0, None, "gone"), "gr_1"))
    assert gone is not None
    assert (gone.grant_id, gone.reason, gone.value) == ("gr_1", "gone", None)


def test_the_receiver_that_the_documentation_shows_takes_a_call_and_refuses_one_that_was_changed() -> None:
    shown = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    names: dict[str, object] = {}
    exec(shown[1], names)  # noqa: S102 - our own page
    receive = names["receive"]
    assert callable(receive)
    from livepromo.telemetry import clock

    call = queued(a_grant()).as_call()
    headers = dict(headers_of(Endpoint("gifts", "https://x.example/"), call, Signer("gifts", SECRET), clock.wall_ms()))
    known: set[str] = set()
    assert receive(headers, call.body, known) == 204
    assert receive(headers, call.body, known) == 204
    assert known == {call.grant_id}
    assert receive(headers, call.body.replace(b"12.34", b"99.34"), known) == 401
