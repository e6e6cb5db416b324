"""What a grant counts where the documents say nothing of it."""

from __future__ import annotations

import pytest

from livepromo.engine.limits import Limits, amount_limits, code_limits, item_limits
from livepromo.model.documents import Budget, Campaign, Flat, FromList, ItemBudget, Live, Past, Points, Qualify, Recurrence
from livepromo.model.ids import CampaignId, UserId
from unit.engine.builders import T0

NO_RECURRENCE, TWICE = Recurrence(), Recurrence(total=2)
LIMITS = {
    "codes": lambda campaign: code_limits(campaign, None, None),
    "points": lambda campaign: amount_limits(campaign, NO_RECURRENCE, Budget(), 0),
    "points, twice": lambda campaign: amount_limits(campaign, TWICE, Budget(), 0),
    "items": lambda campaign: item_limits(campaign, NO_RECURRENCE, ItemBudget()),
    "items, twice": lambda campaign: item_limits(campaign, TWICE, ItemBudget()),
}


def user_total(limits: Limits) -> tuple[str, str, int | None]:
    first = limits(UserId("u1"), 1, T0)[0]
    return first.reason.value, f"{first.row} {first.slot}", first.cap


@pytest.mark.parametrize("qualify", [Past(), FromList("vip")], ids=["past", "list"])
@pytest.mark.parametrize("kind", LIMITS)
def test_who_is_sent_something_is_rewarded_once_also_where_several_partitions_know_the_user(kind: str, qualify: Qualify) -> None:
    campaign = Campaign(CampaignId("c"), "UTC", qualify, Points("grocery", Flat(1)))
    assert user_total(LIMITS[kind](campaign)) == ("user_total", "c/u1 total", 1)


@pytest.mark.parametrize("kind", LIMITS)
def test_who_does_something_is_rewarded_as_often_as_the_document_says(kind: str) -> None:
    campaign = Campaign(CampaignId("c"), "UTC", Live("Charged"), Points("grocery", Flat(1)))
    assert user_total(LIMITS[kind](campaign)) == ("user_total", "c/u1 total", 2 if "twice" in kind else None)
