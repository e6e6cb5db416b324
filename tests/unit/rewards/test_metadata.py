"""What a reward says about itself (R33)."""

from __future__ import annotations

from typing import Any

from livepromo.model.decisions import Cause
from livepromo.model.documents import Campaign, EventProperty, Fact, FactOf, Flat, Literal, Live, MetadataRow, Points, UserProperty
from livepromo.model.ids import CampaignId, GrantId, UserId
from livepromo.rewards.metadata import Facts, compile_metadata


def a_campaign(name: str | None = "Cart rescue") -> Campaign:
    return Campaign(CampaignId("cart-rescue"), "UTC", Live("Charged"), Points("grocery", Flat(1000)), name=name)


def facts(event: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Facts:
    return Facts(UserId("u1"), user or {}, event or {}, GrantId("gr_1"), Cause("did", "e-81", "Charged", 1764547200000))


def test_without_rows_there_is_none() -> None:
    assert compile_metadata((), a_campaign())(facts()) == {}


def test_rows_stand_in_the_order_of_the_document_with_trimmed_keys() -> None:
    rows = (
        MetadataRow(" promoType ", Literal("festival")),
        MetadataRow("orderId", EventProperty("Order ID")),
        MetadataRow("a\t", UserProperty("plan")),
        MetadataRow("flag", Literal(False)),
    )
    found = compile_metadata(rows, a_campaign())(facts({"Order ID": 7}, {"plan": "gold", "Order ID": 8}))
    assert list(found.items()) == [("promoType", "festival"), ("orderId", 7), ("a", "gold"), ("flag", False)]


def test_json_types_are_kept() -> None:
    values = {"i": 2**70, "f": 0.5, "t": "7", "b": False, "zero": 0, "empty": "", "list": [1, {"a": None}], "object": {}}
    rows = tuple(MetadataRow(name, EventProperty(name)) for name in values)
    found = compile_metadata(rows, a_campaign())(facts(values))
    assert found == values
    assert [type(value) for value in found.values()] == [type(value) for value in values.values()]


def test_a_reference_that_finds_nothing_leaves_its_key_out() -> None:
    rows = (
        MetadataRow("e", EventProperty("x")),
        MetadataRow("u", UserProperty("x")),
        MetadataRow("n", FactOf(Fact.CAMPAIGN_NAME)),
        MetadataRow("c", FactOf(Fact.CAMPAIGN_ID)),
    )
    metadata = compile_metadata(rows, a_campaign(name=None))
    assert metadata(facts()) == {"c": "cart-rescue"}
    assert metadata(facts({"x": None}, {"x": None})) == {"c": "cart-rescue"}


def test_every_fact_has_its_value() -> None:
    rows = tuple(MetadataRow(fact.value, FactOf(fact)) for fact in Fact)
    assert compile_metadata(rows, a_campaign())(facts()) == {
        "user.id": "u1",
        "campaign_id": "cart-rescue",
        "campaign_name": "Cart rescue",
        "grant_id": "gr_1",
        "event_id": "e-81",
        "event_name": "Charged",
        "event_ts": 1764547200000,
    }
