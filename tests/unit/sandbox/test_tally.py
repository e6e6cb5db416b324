"""Grants are counted once however often they are delivered, and denials are said in words."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from livepromo.sandbox.showing import Screen, grant_words
from livepromo.sandbox.tally import Tally, amount_text, read_denial, read_grant

GRANT = (
    b'{"grant_id":"gr_1","campaign":"welcome","revision":1,"user":"ada-1","granted_at":1795560075123,'
    b'"cause":{"kind":"did","event_id":"e-1","event":"Signed Up","ts":1795560075123},'
    b'"reward":{"type":"points","wallet":"shop","points":%b,"active_at":1795560075123,"expires_at":null,"metadata":{}%b}}'
)
DENIAL = b'{"campaign":"%b","revision":1,"user":"u","decided_at":1,"cause":{"kind":"did"},"reason":"%b"}'


def test_a_grant_is_shown_as_time_user_campaign_and_reward() -> None:
    assert grant_words(read_grant(GRANT % (b"100", b"")), ZoneInfo("UTC")) == ("22:41:15", "ada-1", "welcome", "+100 shop")
    words = grant_words(read_grant(GRANT % (b"2.5", b',"requested":3')), ZoneInfo("Asia/Kolkata"))
    assert words == ("04:11:15", "ada-1", "welcome", "+2.5 shop (what was left of 3)")


def test_a_line_of_a_grant_is_plain_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    Screen("UTC").grant(read_grant(GRANT % (b"100", b"")))
    assert capsys.readouterr().out == "22:41:15  ada-1         welcome           +100 shop\n"


def test_a_grant_that_is_delivered_twice_is_one() -> None:
    tally, grant = Tally(), read_grant(GRANT % (b"2.50", b""))
    assert tally.add_grant(grant)
    assert not tally.add_grant(grant)
    assert tally.grants == 1
    assert tally.table()[1] == [["welcome", "1", "1", "2.5", "0", ""]]


def test_denials_are_said_by_campaign_and_reason_and_only_once() -> None:
    tally = Tally()
    first = [
        tally.add_denial(read_denial(DENIAL % words))
        for words in ((b"b", b"user_day"), (b"a", b"user_day"), (b"b", b"user_day"), (b"b", b"campaign_budget"))
    ]
    assert first == [True, True, False, True]
    assert tally.denials_since() == "a user_day 1 · b campaign_budget 1, user_day 2"
    assert tally.denials_since() == ""
    assert tally.table()[1][1] == ["b", "0", "0", "0", "3", "user_day 2, campaign_budget 1"]


@pytest.mark.parametrize(("amount", "text"), [("1000", "1000"), ("1E+3", "1000"), ("90.00", "90"), ("0", "0"), ("0.125", "0.125")])
def test_amounts_are_written_as_people_write_them(amount: str, text: str) -> None:
    assert amount_text(Decimal(amount)) == text


def test_rewards_of_every_type_are_counted_and_shown_without_a_code() -> None:
    words, tally = [], Tally()
    for number, reward in enumerate((
        b'{"type":"coupon","coupon":"spring","kind":"bulk","code":"SECRET","redeemable_at":1,"redemption_allowance":1}',
        b'{"type":"voucher","partner":"shop","list_tag":"A","code":"SECRET","redemption_allowance":1}',
        b'{"type":"custom","endpoint":"gifts","item":"watch","value":1,"payload":{}}',
        b'{"type":"custom","endpoint":"gifts","wallet":"cash","value":2.5,"payload":{},"requested":3}',
    )):  # fmt: skip
        head = b'{"grant_id":"gr_%d","campaign":"c","revision":1,"user":"u","granted_at":1,"cause":{},"reward":' % number
        grant = read_grant(head + reward + b"}")
        tally.add_grant(grant)
        words.append(grant_words(grant, ZoneInfo("UTC"))[3])
    assert words == ["+1 spring", "+1 shop", "+1 watch", "+2.5 cash (what was left of 3)"]
    assert tally.table()[1] == [["c", "4", "1", "5.5", "0", ""]]
