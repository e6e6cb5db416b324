"""`livepromo preview` shows what the engine itself would grant, or says why there would be nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from livepromo.cli import main

DOCUMENTS = """
kind: wallet
id: grocery
decimals: 2
---
kind: campaign
id: cart
name: Cart
qualify: {live: {event: Bought, where: [{property: Amount, op: gte, value: 20}]}}
reward:
  points:
    wallet: grocery
    earn: {percent: 10, of: Amount}
    max_per_reward: 500
    budget: {campaign: 5}
    on_insufficient: partial
    metadata: [{key: plan, from: user.plan}, {key: order, from: event.Order ID}, {system: event_id}, {system: event_ts}]
when: {start: "2026-01-01T00:00Z", end: "2030-01-01T00:00Z"}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    return written(tmp_path, DOCUMENTS)


def written(tmp_path: Path, text: str, name: str = "cart.yaml") -> str:
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["preview", *words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: str, code: int = 1) -> str:
    assert main(["preview", *words]) == code
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def test_the_campaign_may_come_from_standard_input(file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    event = '{"id": "e", "ts": 1772359200000, "properties": {"Amount": 25}}'
    expected = shown(capsys, file, "--event", event)
    for words in (["-", "--event", event], ["--event", event, "-"]):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(DOCUMENTS.encode())))
        assert shown(capsys, *words) == expected
    assert "there is no option -x" in refused(capsys, "-x", "--event", event, code=2)


def test_the_reward_is_the_grants_own_body_and_points_have_no_payload(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = written(tmp_path, DOCUMENTS.replace("budget: {campaign: 5}", "budget: {campaign: 5000}"), "free.yaml")
    event = '{"id":"e1","user":"u1","event":"Bought","ts":1767225600000,"properties":{"Amount":499.5,"Order ID":123456789012345678901}}'
    assert main(["preview", free, "--event", event, "--profile", '{"plan":"gold","phone":null}']) == 0
    out = capsys.readouterr().out
    assert out.startswith('{"reward":{"type":"points","wallet":"grocery","points":49.95,"active_at":1767225600000,')
    assert '"order":123456789012345678901' in out  # exact, as in a record
    assert json.loads(out)["payload"] is None
    (tmp_path / "events.jsonl").write_text(
        json.dumps({"type": "profile", "user": "u1", "ts": 1_767_225_600_000, "properties": {"plan": "gold"}}) + "\n" + event + "\n"
    )
    words = ["simulate", "--documents", free, "--events", str(tmp_path / "events.jsonl"), "--out", "-"]
    assert main(words) == 0
    assert json.loads(out)["reward"] == json.loads(capsys.readouterr().out)["grant"]["reward"]
    assert file


def test_limits_are_not_used_up_but_hold(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    reward = shown(capsys, file, "--event", '{"properties":{"Amount":500}}')["reward"]
    assert (reward["points"], reward["requested"]) == (5, 50)


def test_what_the_event_leaves_out_is_filled_in(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reward = shown(capsys, file, "--event", '{"properties":{"Amount":20}}')["reward"]
    assert reward["points"] == 2
    later = written(tmp_path, DOCUMENTS.replace("2026-01-01", "2029-01-01"), "later.yaml")
    reward = shown(capsys, later, "--event", '{ "properties":{"Amount":20}}')["reward"]
    assert reward["active_at"] == reward["metadata"]["event_ts"] == 1_861_920_000_000
    over = written(tmp_path, DOCUMENTS.replace("2030-01-01", "2026-01-02"), "over.yaml")
    assert shown(capsys, over, "--event", '{"properties":{"Amount":20}}')["reward"]["active_at"] == 1_767_312_000_000 - 1
    any_event = written(tmp_path, DOCUMENTS.replace(", where: [{property: Amount, op: gte, value: 20}]", ""), "any.yaml")
    assert "property_missing" in refused(capsys, any_event, "--event", "{}")


def test_event_and_profile_may_stand_in_files(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event, profile = written(tmp_path, '{"properties":{"Amount":20}}\n', "e.json"), written(tmp_path, '{"plan":"x"}\n', "p.json")
    assert shown(capsys, file, "--event", f"@{event}", "--profile", f"@{profile}")["reward"]["metadata"]["plan"] == "x"
    assert "gone.json cannot be read" in refused(capsys, file, "--event", f"@{tmp_path / 'gone.json'}")


def test_what_the_campaign_refers_to_may_stand_in_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wallet, _, campaign = DOCUMENTS.partition("---")
    alone, other = written(tmp_path, campaign, "campaign.yaml"), written(tmp_path, wallet, "wallet.yaml")
    assert "the wallet" in refused(capsys, alone, "--event", "{}")
    assert shown(capsys, alone, "--documents", other, "--event", '{"properties":{"Amount":20}}')["reward"]["points"] == 2


def test_of_several_campaigns_one_is_named(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, campaign = DOCUMENTS.partition("---")
    two = written(tmp_path, DOCUMENTS + "---" + campaign.replace("id: cart", "id: other").replace("percent: 10", "percent: 5"), "two.yaml")
    event = ["--event", '{"properties":{"Amount":20}}']
    assert "cart, other" in refused(capsys, two, *event, code=2)
    assert shown(capsys, two, *event, "--campaign", "other")["reward"]["points"] == 1
    assert shown(capsys, two, *event, "--campaign", "campaign/cart")["reward"]["points"] == 2
    assert 'has no campaign "third"' in refused(capsys, two, *event, "--campaign", "third", code=2)
    wallet = written(tmp_path, DOCUMENTS.partition("---")[0], "wallet.yaml")
    assert "has no campaign" in refused(capsys, wallet, *event, code=2)
    assert file


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ('{"event":"Sold"}', 'cart waits for "Bought", the event is "Sold"'),
        ('{"properties":{"Amount":19}}', "$.qualify.live.where[0] does not hold: Amount gte 20"),
        ('{"ts":"2025-12-31T23:59:59.999Z","properties":{"Amount":20}}', "is before the start, 2026-01-01T00:00:00Z"),
        ('{"ts":"2030-01-01T00:00Z","properties":{"Amount":20}}', "is not before the end, 2030-01-01T00:00:00Z"),
        ("{", "the event is no JSON"),
        ("[1]", "the event is no JSON object"),
        ('{"ts":5}', "bad_time"),
        ('{"properties":{"Amount":1e999}}', "out_of_range"),
        ('{"user":7}', "wrong_type"),
        ('{"type":"profile","properties":{}}', "a record of another type"),
    ],
)
def test_an_event_that_earns_nothing_is_told_why(file: str, event: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, file, "--event", event)


def test_who_is_outside_the_sample_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sampled = written(tmp_path, DOCUMENTS.replace("\nreward:", "\nwho: {sample: 0.001}\nreward:"))
    assert "is not in the sample" in refused(capsys, sampled, "--event", '{"properties":{"Amount":20}}')


def test_a_denial_is_said_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expired = written(tmp_path, DOCUMENTS.replace("max_per_reward", 'validity: {expire_on: "2026-01-02T00:00Z"}\n    max_per_reward'))
    event = '{"ts":"2026-02-01T00:00Z","properties":{"Amount":20}}'
    assert "it would be denied, would_be_expired" in refused(capsys, expired, "--event", event)


@pytest.mark.parametrize("profile", ["gold", "[]", '{"a":1e999}', "{" * 40 + "}" * 40])
def test_a_profile_that_is_none_is_refused(file: str, profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the profile" in refused(capsys, file, "--event", '{"properties":{"Amount":20}}', "--profile", profile)


def test_an_event_must_be_given(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--event" in refused(capsys, file, code=2)


# -- rewards of other types -------------------------------------------------------------------------------------------

OTHERS = """
{kind: coupon, id: spring, type: bulk}
---
{kind: coupon, id: ten, type: single, code: SAVE10}
---
{kind: partner, id: shop}
---
{kind: voucher_list, id: shop/A}
---
{kind: item, id: watch}
---
{kind: wallet, id: cash, external: true, decimals: 1}
---
{kind: endpoint, id: gifts, url: "https://gifts.example"}
---
{kind: campaign, id: bulk, qualify: {live: {event: Bought}}, reward: {coupon: {type: bulk, coupon: spring}}}
---
{kind: campaign, id: single, qualify: {live: {event: Bought}}, reward: {coupon: {type: single, coupon: ten}}}
---
{kind: campaign, id: voucher, qualify: {live: {event: Bought}}, reward: {voucher: {partner: shop, list_tag: A}}}
---
kind: campaign
id: gift
qualify: {live: {event: Bought}}
reward: {custom: {endpoint: gifts, item: watch, identifiers: {email: mail}, metadata: [{key: plan, from: user.plan}]}}
---
kind: campaign
id: credits
qualify: {live: {event: Bought}}
reward:
  custom:
    endpoint: gifts
    credits: {wallet: cash, earn: {percent: 10, of: Amount}}
    budget: {campaign: 2.5}
    on_insufficient: partial
"""


@pytest.fixture
def others(tmp_path: Path) -> str:
    return written(tmp_path, OTHERS, "others.yaml")


@pytest.mark.parametrize(("campaign", "code"), [("bulk", None), ("voucher", None), ("single", "SAVE10")])
def test_no_code_of_a_pool_is_drawn_or_shown(campaign: str, code: str | None, others: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, others, "--campaign", campaign, "--event", "{}")
    assert found["reward"]["code"] == code
    assert found["payload"] is None


def test_an_item_has_the_payload_that_its_endpoint_is_sent_with_email_and_phone(others: str, capsys: pytest.CaptureFixture[str]) -> None:
    profile = ["--profile", '{"email":"a@example.org","phone":"1","plan":"gold"}']
    found = shown(capsys, others, "--campaign", "gift", "--event", '{"user":"u1"}', *profile)
    sent = {"type": "custom", "value": 1, "metadata": {"plan": "gold"}}
    assert found["payload"] == {"user": {"userId": "u1", "mail": "a@example.org", "phone": "1"}, "reward": sent}
    assert found["reward"]["payload"] == {"user": {"userId": "u1"}, "reward": sent}


def test_the_payload_of_credits_has_the_value_that_is_granted(others: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, others, "--campaign", "credits", "--event", '{"properties":{"Amount":33}}', "--profile", '{"phone":7}')
    assert (found["reward"]["value"], found["reward"]["requested"]) == (2.5, 3.3)
    assert found["payload"] == {"user": {"userId": "preview-user"}, "reward": {"type": "custom", "value": 2.5, "metadata": {}}}
    denied = refused(capsys, others, "--campaign", "credits", "--event", '{"properties":{"Amount":-1}}')
    assert "amount_not_positive: the event's Amount" in denied
