"""Which denials are said: all, the first of a kind, or none."""

from __future__ import annotations

import msgspec
import pytest

from livepromo.model.decisions import Denial, Reason
from livepromo.model.ids import CampaignId, UserId
from livepromo.worker import denials
from livepromo.worker.denials import DenialFilter

DENIAL = Denial(CampaignId("c"), 1, UserId("u1"), 5, b"{}", Reason.USER_DAY, limit=2, used=2, resets_at_ms=100)


def but(**changes: object) -> Denial:
    return msgspec.structs.replace(DENIAL, **changes)


@pytest.mark.parametrize(("mode", "said"), [("all", True), ("none", False)])
def test_all_says_every_one_and_none_says_none(mode: str, said: bool) -> None:
    judge = DenialFilter(mode)
    assert [judge.says(DENIAL) for _ in range(3)] == [said] * 3


def test_first_says_one_per_user_campaign_reason_and_period() -> None:
    judge = DenialFilter("first")
    assert judge.says(DENIAL)
    others = [but(user=UserId("u2")), but(campaign=CampaignId("d")), but(reason=Reason.USER_WEEK), but(resets_at_ms=200)]
    assert all(judge.says(one) for one in others)
    again = [DENIAL, *others, but(revision=2), but(decided_at_ms=6, cause=b'{"a":1}'), but(limit=3, used=3)]
    assert not any(judge.says(one) for one in again)


def test_a_reason_without_a_period_is_said_once_for_good() -> None:
    judge = DenialFilter("first")
    missing = but(reason=Reason.PROPERTY_MISSING, limit=None, used=None, resets_at_ms=None)
    assert [judge.says(missing), judge.says(missing)] == [True, False]


def test_a_new_owner_says_a_first_one_again() -> None:
    assert DenialFilter("first").says(DENIAL)
    assert DenialFilter("first").says(DENIAL)


def test_what_is_remembered_is_bounded_and_the_oldest_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denials, "REMEMBERED", 3)
    judge = DenialFilter("first")
    users = [but(user=UserId(f"u{n}")) for n in range(4)]
    assert all(judge.says(one) for one in users)
    assert not any(judge.says(one) for one in users[1:])
    assert judge.says(users[0])
    assert judge.says(users[1])
    assert not judge.says(users[3])


def test_another_mode_is_none() -> None:
    with pytest.raises(AssertionError):
        DenialFilter("some")
