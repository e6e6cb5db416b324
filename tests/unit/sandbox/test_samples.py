"""The sample documents are sound, and within a minute of traffic they show what campaigns do."""

from __future__ import annotations

from pathlib import Path

from livepromo import sandbox
from livepromo.documents.files import read_files
from livepromo.documents.reading import documents_of
from livepromo.documents.references import check_documents
from livepromo.model.decisions import Reason
from livepromo.sandbox.comparing import Decisions, simulated
from livepromo.sandbox.traffic import Shop
from livepromo.settings import load

SAMPLES = Path(sandbox.__file__ or "").with_name("samples")
RATE, SECONDS = 20, 60


def _decided(tmp_path: Path, seed: int) -> Decisions:
    shop, file = Shop(seed), tmp_path / "events.jsonl"
    file.write_bytes(b"".join(shop.next(1_795_560_000_000 + n * 1000 // RATE).value + b"\n" for n in range(RATE * SECONDS)))
    return simulated(documents_of(read_files([SAMPLES], "UTC")[0]), file, load({}))


def test_they_are_sound_and_follow_the_advice() -> None:
    read, problems = read_files([SAMPLES], "UTC")
    assert [*problems, *check_documents(read, None, now_ms=0, strict=True)] == []
    assert 5 <= sum(one.key.startswith("campaign/") for one in read) <= 8


def test_within_a_minute_every_campaign_grants_and_a_budget_of_each_kind_is_spent(tmp_path: Path) -> None:
    reasons: set[str] = set()
    for seed in (1, 2, 3):
        decided = _decided(tmp_path, seed).campaigns
        assert {name for name, one in decided.items() if one.grants} == {
            "welcome", "cashback", "spend-and-earn", "lucky-review", "early-birds", "book-club", "thank-you", "cart-rescue",
        }  # fmt: skip
        spent = {name for name, one in decided.items() if any(denial.reason == Reason.CAMPAIGN_BUDGET for denial in one.denials.values())}
        assert {"early-birds", "cashback"} <= spent
        assert any(grant.reward.requested is not None for grant in decided["cashback"].grants.values()), "the last one gets the rest"
        reasons |= {denial.reason for one in decided.values() for denial in one.denials.values()}
    assert {"user_total", "user_day", "user_week", "property_not_numeric"} <= reasons
