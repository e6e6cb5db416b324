"""No document crashes the checker, and every path that it names is one: for values of any kind at any place."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from livepromo.documents.catalogue import Catalogue, Publication, decode, encode, publication_of, references, take
from livepromo.documents.fields import thousandths
from livepromo.documents.files import check_content
from livepromo.documents.reading import Problem, read_text
from livepromo.documents.references import check_documents
from unit.documents.builders import CAMPAIGN, WALLET, WORLD, P, changed, rewarding, sent, steps, understood

FULL = changed(
    CAMPAIGN,
    {
        "name": "N", "timezone": "Europe/Berlin", "who": {"sample": 5}, "when": {"start": "2026-01-01T00:00", "end": "never"},
        "qualify.live.where": [{"property": "A", "op": "in", "value": [1, "x"]}, {"property": "B", "op": "between", "value": [1, 2]}],
        f"{P}.max_per_reward": 5, f"{P}.validity": {"activate_after": "7d", "expire_on": "2027-01-01T00:00Z"},
        f"{P}.on_insufficient": "partial",
        f"{P}.metadata": [{"key": "a", "value": 1}, {"key": "b", "from": "event.X"}, {"system": "grant_id"}],
    },
)  # fmt: skip
CONDITION = {"property": "A", "op": "between", "value": [1, 2]}
AUDIENCE = {
    "all": [
        {"did": {"event": ["A", "B"], "where": [CONDITION], "count": {"between": [0, 3]}, "within": "7d"}},
        {"did_not": {"event": "A", "within": {"from": "2026-01-01T00:00", "to": "2027-01-01T00:00"}}},
        {"any": [{"segment": "s"}, {"list": "l"}, CONDITION, {"none": [{"sample": 5}]}]},
        {"interest": {"event": "A", "property": "P", "value": "x", "share": "predominantly", "within": "7d"}},
    ],
    "same": ["P"],
}
UNLESS = {"event": "B", "where": [CONDITION], "within": "30m", "grace": "5s"}
EVERYTHING: list[Any] = [
    rewarding("coupon", {"reward.coupon.redeem_after": "48h", "who": AUDIENCE}),
    sent("voucher", {"when": {"send": "2030-01-01T00:00"}, "who": AUDIENCE}), rewarding("item", {"qualify": {"list": "l"}}),
    rewarding("credits", {
        "qualify.live.unless": UNLESS, "qualify.live.same": ["P", {"event": "A", "unless": "B"}], "qualify.live.retrigger": "keep",
        "reward.custom.on_insufficient": "partial", "reward.custom.credits.max_per_reward": 5,
        "reward.custom.identifiers": {"email": "mail"},
        "reward.custom.metadata": [{"system": "grant_id"}],
    }),
    {"kind": "segment", "id": "s2", "who": AUDIENCE}, {"kind": "segment", "id": "s", "members": "fed"}, {"kind": "list", "id": "l"},
    {"kind": "endpoint", "id": "e", "url": "https://example.org", "secret": "s", "headers": {"A": "b"}, "timeout": "3s",
     "max_in_flight": 3},
    {"kind": "coupon", "id": "x", "type": "single", "code": "C", "user_redemption_limit": 2, "expires": "2030-01-01T00:00", "active": True},
    {"kind": "voucher_list", "id": "amazon/x", "user_redemption_limit": 2, "expires": "2030-01-01T00:00", "active": True},
]  # fmt: skip
WORDS = st.sampled_from([
    "kind", "id", "live", "past", "event", "where", "property", "op", "value", "points", "wallet", "earn", "flat", "percent", "of",
    "random", "min", "max",
    "favor", "total", "day", "campaign", "user", "key", "from", "system", "now", "never", "7d", "2026-01-01T00:00", "UTC", "grocery",
    "eq", "between", "a b", "",
    "coupon", "voucher", "custom", "endpoint", "item", "credits", "identifiers", "budget", "unless", "within", "same", "all", "any", "none",
    "segment", "list", "did", "did_not", "interest", "sample", "count", "send", "past", "url", "headers", "code", "bulk", "type",
])  # fmt: skip
NUMBERS = st.integers() | st.sampled_from([10**15, 10**400, -1, 0]) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS | st.text(max_size=8)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=3), max_leaves=8
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


PLACES = places(FULL)


def put(document: Any, place: tuple[str | int, ...], junk: Any) -> Any:
    if not place:
        return junk
    result = json.loads(json.dumps(document))
    at = result
    for step in place[:-1]:
        if not isinstance(at, dict | list):
            return result
        with contextlib.suppress(LookupError, TypeError):
            at = at[step]
    with contextlib.suppress(LookupError, TypeError):
        at[place[-1]] = junk
    return result


def check(text: str) -> tuple[Any, list[Problem]]:
    read, problems = check_content(text.encode("utf-8", "surrogatepass"), "f", "UTC")
    problems = problems + check_documents(read, Catalogue(), now_ms=10**12, strict=True)
    return read, problems


def exists_or_is_missing(value: Any, path: str) -> bool:
    """Say whether a path names a value, or fields that could stand in a mapping or list that is there."""
    for step in steps(path):
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return False
            value = value[step]
        elif isinstance(value, dict):
            if step not in value:
                return True
            value = value[step]
        else:
            return False
    return True


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), JUNK), min_size=1, max_size=4))
def test_no_value_at_any_place_crashes_the_checker_and_every_path_is_one(changes: list[tuple[tuple[str | int, ...], Any]]) -> None:
    document: Any = FULL
    for place, junk in changes:
        document = put(document, place, junk)
    read, problems = check(json.dumps([WALLET, document]))
    assert len(read) == 2
    for problem in problems:
        assert problem.text.isprintable()
        assert problem.path == "$" or steps(problem.path)
        of = [one.value for one in read if one.key == problem.document]
        assert any(exists_or_is_missing(value, problem.path) for value in of), problem
    if read[1].document is None:
        assert any(problem.severity == "error" for problem in problems)
    elif not problems:
        publication = publication_of(read, Catalogue(), "x")
        assert publication is not None
        assert decode(encode(publication)) == publication
        catalogue, valid = take(Catalogue(), 0, 1, publication)
        assert valid
        assert publication_of(read, catalogue, "x") is None


@settings(max_examples=700, deadline=None)
@given(st.data())
def test_no_value_at_any_place_of_any_kind_crashes_the_checker(data: st.DataObject) -> None:
    document: Any = data.draw(st.sampled_from(EVERYTHING))
    for place, junk in data.draw(st.lists(st.tuples(st.sampled_from(places(document)), JUNK), min_size=1, max_size=4)):
        document = put(document, place, junk)
    read, problems = check(json.dumps([*WORLD, document]))
    for problem in problems:
        assert problem.text.isprintable()
        of = [one.value for one in read if one.key == problem.document]
        assert any(exists_or_is_missing(value, problem.path) for value in of), problem
    if read[-1].document is None:
        assert any(problem.severity == "error" for problem in problems)


def test_what_the_checker_looks_for_is_what_a_publication_expects() -> None:
    for one in understood(*WORLD, *EVERYTHING):
        assert one.document is not None
        assert {link.key for link in one.links} == set(references(one.document))
        publication = Publication("x", {}, (one.document,))
        assert decode(encode(publication)) == publication


@settings(max_examples=300, deadline=None)
@given(JUNK)
def test_yaml_and_json_of_one_value_mean_the_same(value: Any) -> None:
    document = {"v": value}
    as_json = read_text(json.dumps(document).encode(), "f")
    as_yaml = read_text(yaml.safe_dump(document, allow_unicode=True, default_style='"').encode(), "f") if not _tagged(value) else as_json
    assert [one.value for one in as_json[0]] == [one.value for one in as_yaml[0]]
    assert not as_json[1]


def _tagged(value: Any) -> bool:
    """Say whether PyYAML would write tags: it does for everything but texts in this style."""
    if isinstance(value, dict):
        return any(_tagged(item) for item in value.values())
    return any(_tagged(item) for item in value) if isinstance(value, list) else not isinstance(value, str)


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("{}[]:,-&*!|>'\"#%\n\t 0123456789.eE+"), max_size=60))
def test_no_text_crashes_the_reader(text: str) -> None:
    for content in (text.encode(), b"kind: wallet\n" + text.encode(), b'{"kind": ' + text.encode()):
        read, problems = check_content(content, "f", "UTC")
        assert read or problems
        assert all(problem.text.isprintable() for problem in problems)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_crash_the_reader(content: bytes) -> None:
    read, problems = check_content(content, "f", "UTC")
    assert read or problems


@settings(max_examples=1000, deadline=None)
@given(st.integers(-1, 10**17), st.integers(-8, 4), st.integers(0, 3))
def test_an_amount_is_a_number_above_zero_with_three_decimals_and_fifteen_digits(digits: int, exponent: int, zeros: int) -> None:
    value = Decimal(digits * 10**zeros).scaleb(exponent - zeros)
    plain = format(value, "f")
    whole, _, fraction = plain.lstrip("-").partition(".")
    fraction = fraction.rstrip("0")
    allowed = digits > 0 and len(fraction) <= 3 and len(whole.lstrip("0")) + len(fraction) <= 15
    assert thousandths(value) == (int(whole + fraction.ljust(3, "0")) if allowed else None)
