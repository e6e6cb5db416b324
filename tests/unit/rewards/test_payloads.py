"""What an endpoint is sent: the body of R67, with the keys of R64."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.model.documents import Identifiers
from livepromo.model.ids import UserId
from livepromo.rewards.payloads import NO_CONTACTS, body, body_pieces

USER = UserId("u1")


def test_the_body_is_that_of_the_specification_with_its_default_keys() -> None:
    contacts = {"phone": "+49 1", "email": "a@example.org", "plan": "gold"}
    assert body(Identifiers(), USER, contacts, b"2.5", b'{"k":1}') == (
        b'{"user":{"userId":"u1","email":"a@example.org","phone":"+49 1"},"reward":{"type":"custom","value":2.5,"metadata":{"k":1}}}'
    )


def test_the_keys_are_those_that_the_author_gives() -> None:
    names = Identifiers('customer "id"', "mail", "tel")
    assert body(names, USER, {"email": "ü", "phone": ""}, b"1", b"{}").startswith(
        '{"user":{"customer \\"id\\"":"u1","mail":"ü","tel":""},'.encode()
    )


@pytest.mark.parametrize("value", [None, 49, 1.5, True, ["a"], {"a": 1}])
def test_a_contact_that_is_missing_or_no_text_is_left_out(value: Any) -> None:
    assert b'{"user":{"userId":"u1","phone":"1"},' in body(Identifiers(), USER, {"email": value, "phone": "1"}, b"1", b"{}")
    assert b'{"user":{"userId":"u1"},' in body(Identifiers(), USER, {"phone": value}, b"1", b"{}")


def test_without_contacts_the_same_body_tells_neither() -> None:
    before, behind = body_pieces(Identifiers(), USER, NO_CONTACTS, b"{}")
    assert before + b"1" + behind == b'{"user":{"userId":"u1"},"reward":{"type":"custom","value":1,"metadata":{}}}'
