"""Headers of a call: what the reference verifier takes, what it does not, and what is never shown (R48, R67)."""

from __future__ import annotations

import base64

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from livepromo.delivery.signing import Call, Signer, headers_of, signer_of
from livepromo.model.documents import Endpoint
from livepromo.settings import Secrets, SettingsError
from livepromo.telemetry.clock import wall_ms

OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
NEW = base64.b64encode(b"n" * 24).decode()
BODY = '{"user":{"userId":"ü1","email":"a@example.org"},"reward":{"type":"custom","value":1,"metadata":{}}}'.encode()
CALL = Call("gr_1", "cart-rescue", 3, BODY, item="smartwatch")
ENDPOINT = Endpoint("gift-api", "https://example.org/x", "gift-api")


def signed(text: str, call: Call = CALL, at_ms: int | None = None) -> dict[str, str]:
    return dict(headers_of(ENDPOINT, call, Signer("gift-api", text), wall_ms() if at_ms is None else at_ms))


@pytest.mark.parametrize("secret", [OLD, NEW], ids=["with prefix", "without prefix"])
def test_the_reference_verifier_takes_a_signature(secret: str) -> None:
    Webhook(secret).verify(BODY, signed(secret))


def test_while_secrets_rotate_both_verify() -> None:
    headers = signed(f"{OLD}\n{NEW}\n")
    Webhook(OLD).verify(BODY, headers)
    Webhook(NEW).verify(BODY, headers)


def test_after_a_rotation_the_old_secret_verifies_no_more() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(BODY, signed(NEW))


@pytest.mark.parametrize("change", [{"webhook-id": "gr_2"}, {"webhook-timestamp": str(wall_ms() // 1000 + 7)}], ids=["id", "time"])
def test_what_was_tampered_with_does_not_verify(change: dict[str, str]) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(BODY, signed(OLD) | change)


def test_another_body_does_not_verify() -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(BODY.replace(b'"value":1', b'"value":2'), signed(OLD))


def test_the_timestamp_is_the_second_of_the_try() -> None:
    assert signed(OLD, at_ms=1_764_547_200_999)["webhook-timestamp"] == "1764547200"


def test_headers_name_the_grant_its_campaign_revision_and_item() -> None:
    headers = signed(OLD)
    assert headers["webhook-id"] == headers["Idempotency-Key"] == headers["livepromo-grant-id"] == "gr_1"
    assert (headers["livepromo-campaign"], headers["livepromo-revision"], headers["livepromo-item"]) == ("cart-rescue", "3", "smartwatch")
    assert headers["Content-Type"] == "application/json"
    assert not headers.keys() & {"livepromo-wallet", "livepromo-test"}


def test_credits_name_their_wallet() -> None:
    headers = signed(OLD, Call("gr_1", "c", 1, BODY, wallet="ext-cash"))
    assert headers["livepromo-wallet"] == "ext-cash"
    assert "livepromo-item" not in headers


def test_a_test_call_is_marked() -> None:
    assert signed(OLD, Call("gr_1", "c", 1, BODY, item="x", test=True))["livepromo-test"] == "true"


def test_but_for_time_and_signature_every_try_is_the_same() -> None:
    first, second = signed(OLD, at_ms=1_764_547_200_000), signed(OLD, at_ms=1_764_550_000_000)
    assert {name for name in first if first[name] != second[name]} == {"webhook-timestamp", "webhook-signature"}


def test_an_endpoint_without_a_secret_is_called_unsigned() -> None:
    endpoint = Endpoint("open", "https://example.org")
    assert signer_of(endpoint, Secrets()) is None
    assert "webhook-signature" not in dict(headers_of(endpoint, CALL, None, 0))


def test_headers_of_the_endpoint_are_sent_and_replace_ours_of_that_name() -> None:
    endpoint = Endpoint("e", "https://example.org", headers=(("USER-AGENT", "shop"), ("X-Tenant", "7")))
    headers = headers_of(endpoint, CALL, None, 0)
    assert [value for name, value in headers if name.lower() == "user-agent"] == ["shop"]
    assert dict(headers)["X-Tenant"] == "7"


@pytest.mark.parametrize(
    "text", ["no base64!", base64.b64encode(b"short").decode(), "whsec_", " \n"], ids=["text", "short", "none", "empty"]
)
def test_what_is_no_secret_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(SettingsError, match=r'secret "gift-api" \(LIVEPROMO_SECRET_GIFT_API\)') as refusal:
        Signer("gift-api", text)
    assert not text.strip() or text not in str(refusal.value)


def test_a_name_that_no_secret_has_is_an_error_that_says_which_variable_to_set() -> None:
    with pytest.raises(SettingsError, match=r"endpoint/gift-api .*\"gift-api\", which is not set: set LIVEPROMO_SECRET_GIFT_API, or"):
        signer_of(ENDPOINT, Secrets())


def test_neither_secrets_nor_users_are_shown() -> None:
    shown = repr(Signer("gift-api", OLD)) + repr(CALL) + repr(Secrets({"GIFT_API": OLD}))
    assert OLD not in shown
    assert "example.org" not in shown
