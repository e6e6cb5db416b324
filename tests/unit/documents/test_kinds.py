"""The kinds that campaigns refer to: what they mean, what is refused, at which path, by which rule."""

from __future__ import annotations

from typing import Any

import pytest

from livepromo.model.amounts import Rounding
from livepromo.model.documents import (
    KINDS,
    Coupon,
    CouponType,
    Document,
    Endpoint,
    Item,
    Partner,
    Segment,
    UserList,
    VoucherList,
    Wallet,
    key_of,
    kind_of,
)
from unit.documents.builders import CAMPAIGN, GONE, changed, found, meaning, problems_of
from unit.documents.test_checking import BAD_COUNTS, BAD_DURATIONS, BAD_INSTANTS, BAD_TEXTS, each

SINGLE = {"kind": "coupon", "id": "c", "type": "single", "code": "SAVE20"}
BULK = {"kind": "coupon", "id": "c", "type": "bulk"}
PARTNER = {"kind": "partner", "id": "amazon"}
LIST = {"kind": "voucher_list", "id": "amazon/Holiday_2025.x-y"}
ITEM = {"kind": "item", "id": "watch"}
ENDPOINT = {"kind": "endpoint", "id": "api", "url": "https://example.org/rewards?x=1"}
FED = {"kind": "segment", "id": "s", "members": "fed"}
USERS = {"kind": "list", "id": "vip"}
NAMED = {"name": "N", "description": "D"}
EXPIRES = {"expires": "2026-01-01T05:30"}
EXPIRES_MS = 1_767_225_600_000

MEANINGS: list[tuple[dict[str, Any], Document]] = [
    ({"kind": "wallet", "id": "w", "external": True, **NAMED}, Wallet("w", 0, Rounding.DOWN, True, "N", "D", True)),
    (SINGLE, Coupon("c", CouponType.SINGLE, "SAVE20")),
    ({**BULK, **NAMED, **EXPIRES, "user_redemption_limit": 2, "active": False},
     Coupon("c", CouponType.BULK, None, 2, EXPIRES_MS, False, "N", "D")),
    (PARTNER, Partner("amazon")), ({**PARTNER, **NAMED, "active": False}, Partner("amazon", False, "N", "D")),
    (LIST, VoucherList("amazon/Holiday_2025.x-y")),
    ({**LIST, **NAMED, **EXPIRES, "user_redemption_limit": 3, "active": False},
     VoucherList("amazon/Holiday_2025.x-y", 3, EXPIRES_MS, False, "N", "D")),
    (ITEM, Item("watch")), ({**ITEM, **NAMED, "active": False}, Item("watch", False, "N", "D")),
    (ENDPOINT, Endpoint("api", "https://example.org/rewards?x=1", None, (), 15_000, 16)),
    ({**ENDPOINT, **NAMED, "secret": "GIFT_API", "headers": {"X-b": " 2 ", "x-A": "1"}, "timeout": "3s", "max_in_flight": 1},
     Endpoint("api", "https://example.org/rewards?x=1", "GIFT_API", (("x-A", "1"), ("X-b", "2")), 3_000, 1, "N", "D")),
    (FED, Segment("s")), (USERS, UserList("vip")), ({**USERS, **NAMED}, UserList("vip", "N", "D")),
]  # fmt: skip


@pytest.mark.parametrize(("document", "meant"), MEANINGS)
def test_a_document_means_what_it_says_and_defaults_are_filled_in(document: dict[str, Any], meant: Document) -> None:
    assert meaning(document, zone="Asia/Kolkata") == meant
    assert kind_of(meant) == document["kind"]
    assert key_of(meant) == f"{document['kind']}/{document['id']}"


def test_every_kind_is_one() -> None:
    assert {document["kind"] for document, _ in MEANINGS} | {"campaign"} == set(KINDS)


def test_a_voucher_list_knows_its_partner_and_its_tag() -> None:
    found_list = meaning(LIST)
    assert isinstance(found_list, VoucherList)
    assert (found_list.partner, found_list.list_tag) == ("amazon", "Holiday_2025.x-y")


REFUSED: list[tuple[dict[str, Any], tuple[dict[str, Any], str, str]]] = [
    *[(SINGLE, row) for row in [
        ({"type": GONE}, "$.type", "R35"), *each("type", "R35", [*BAD_TEXTS, "Single", ""]), ({"code": GONE}, "$.code", "R35"),
        *each("code", "R35", [*BAD_TEXTS, "", "x" * 256, " A", "A ", "A\nB", "A\x00"]), ({"type": "bulk"}, "$.code", "R35"),
        *each("user_redemption_limit", "R37", BAD_COUNTS), *each("expires", "R34", [*BAD_INSTANTS, "never", "now"]),
        *each("active", "", [1, "true", None]), ({"max_per_user": 1}, "$.max_per_user", ""), ({"codes": []}, "$.codes", ""),
    ]],
    *[(one, ({"active": "yes"}, "$.active", "")) for one in (PARTNER, ITEM)],
    *[(LIST, row) for row in [
        *each("id", "", BAD_TEXTS),
        *each("id", "R42", ["", "amazon", "amazon/", "/x", "Amazon/x", "amazon/a b", "amazon/x/y", "amazon/" + "x" * 64, "a" * 64 + "/x"]),
        *each("user_redemption_limit", "R44", BAD_COUNTS), *each("expires", "R42", BAD_INSTANTS), ({"type": "bulk"}, "$.type", ""),
    ]],
    *[(ENDPOINT, row) for row in [
        ({"url": GONE}, "$.url", "R46"),
        *each("url", "R46", [
            *BAD_TEXTS, "", "example.org", "//example.org", "ftp://example.org", "file:///etc/passwd", "gopher://example.org:70/",
            "javascript:alert(1)", "https://", "https:///path", "https://user@example.org", "https://user:pw@example.org/", "https://@example.org",
            "https://example.org:0/", "https://example.org:port/", "https://example.org:65536/", "https://example.org:", "https://example.org:-1",
            "https://exa mple.org", "https://example.org/\n", " https://example.org", "https://example.org\\@evil.org", "https://exämple.org/",
            "https://example.org/#part", "https://[::1", "https://example.org/" + "x" * 2048, "http:example.org",
        ]),
        *each("secret", "R48", [*BAD_TEXTS, "", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a b", "a/b", "../x", "a=", "x" * 129]),
        *each("headers", "R48", [None, [], "X: 1"]),
        *[({"headers": {"X-A": bad}}, "$.headers.X-A", "R48") for bad in [*BAD_TEXTS, "a\r\nb", "é", "x" * 4097]],
        *[({"headers": {name: "1"}}, f"$.headers.{name}", "R48") for name in
          ("Livepromo-Item", "webhook-id", "WEBHOOK-SIGNATURE", "Content-Type", "content-length", "Host", "Connection", "Idempotency-Key")],
        ({"headers": {"a b": "1"}}, '$.headers["a b"]', "R48"), ({"headers": {"": "1"}}, '$.headers[""]', "R48"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "$.headers.x-a", "R48"),
        *each("timeout", "R69", BAD_DURATIONS), *each("max_in_flight", "R69", BAD_COUNTS),
        ({"active": True}, "$.active", ""), ({"method": "POST"}, "$.method", ""),
    ]],
    *[(FED, row) for row in [
        *each("members", "R5", [True, None, [], "Fed", "imported"]), ({"members": GONE}, "$", "R5"), ({"who": {"sample": 5}}, "$", "R5"),
        ({"active": True}, "$.active", ""),
    ]],
    *[(USERS, row) for row in [({"users": []}, "$.users", ""), ({"id": "VIP"}, "$.id", ""), ({"active": True}, "$.active", "")]],
]  # fmt: skip


@pytest.mark.parametrize(("document", "refused"), REFUSED)
def test_a_violation_is_an_error_at_its_path_with_its_rule(document: dict[str, Any], refused: tuple[dict[str, Any], str, str]) -> None:
    changes, path, rule = refused
    others = [PARTNER] if document is LIST else []
    assert found(*others, changed(document, changes)) == {(path, rule)}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:43210/hook", "https://example.org", "https://[::1]:8443/a?b=c%20d", "HTTPS://EXAMPLE.ORG:443/", "http://a/"]
)
def test_a_url_is_http_or_https_with_a_host_and_any_port(url: str) -> None:
    assert found({**ENDPOINT, "url": url}) == set()


@pytest.mark.parametrize(
    ("document", "changes", "secret"),
    [
        (SINGLE, {"code": 123456}, "123456"), (SINGLE, {"type": "bulk", "code": "TOPSECRET"}, "TOPSECRET"),
        (SINGLE, {"code": "TOPSECRET "}, "TOPSECRET"), (SINGLE, {"code": "TOPSECRET" * 40}, "TOPSECRET"),
        (ENDPOINT, {"secret": "whsec_TOPSECRET"}, "TOPSECRET"), (ENDPOINT, {"secret": 123456}, "123456"),
        (ENDPOINT, {"headers": {"X-A": 123456}}, "123456"),
        (ENDPOINT, {"headers": {"X-A": "TOPSECRET\n"}}, "TOPSECRET"),
        (ENDPOINT, {"url": "https://user:TOPSECRET@example.org/" + "x" * 3000}, "TOPSECRET"),
        (ENDPOINT, {"url": "https://user:TOPSECRET@example.org"}, "TOPSECRET"),
    ],
)  # fmt: skip
def test_a_code_or_a_secret_is_never_said(document: dict[str, Any], changes: dict[str, Any], secret: str) -> None:
    problems = problems_of(changed(document, changes))
    assert problems
    assert not any(secret in problem.text for problem in problems)


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_fields_are_errors_in_every_kind_and_the_nearest_is_named(kind: str) -> None:
    document = next((one for one, _ in MEANINGS if one["kind"] == kind), CAMPAIGN)
    (problem,) = [one for one in problems_of({**document, "desription": "x"}) if one.path == "$.desription"]
    assert problem.message == 'unknown field "desription": did you mean "description"?'


@pytest.mark.parametrize(
    ("written", "meant"), [("coupn", "coupon"), ("voucherlist", "voucher_list"), ("endpoints", "endpoint"), ("lst", "list")]
)
def test_the_nearest_kind_is_named(written: str, meant: str) -> None:
    assert [one.message for one in problems_of({"kind": written, "id": "a"})] == [f'"{written}" is no kind: did you mean {meant}?']


def test_a_header_that_holds_a_secret_is_advised_against_and_not_shown() -> None:
    (problem,) = problems_of({**ENDPOINT, "headers": {"Authorization": "TOPSECRET"}})
    assert (problem.severity, problem.path, problem.rule) == ("warning", "$.headers.Authorization", "R48")
    assert "TOPSECRET" not in problem.text
