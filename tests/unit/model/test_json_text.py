"""How values are written as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from livepromo.model.json_text import json_bytes, number_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (100.0, "100"),
        (0.1, "0.1"),
        (499.5, "499.5"),
        (1e-7, "0.0000001"),
        (1e16, "10000000000000000"),
        (1e23, "100000000000000000000000"),
        (-2.5e-10, "-0.00000000025"),
        (0.30000000000000004, "0.30000000000000004"),
        (12345678901234567.0, "12345678901234568"),
        (5e-324, "0." + "0" * 323 + "5"),
        (1.7976931348623157e308, "17976931348623157" + "0" * 292),
        (2**80, "1208925819614629174706176"),
        (-(10**308), "-1" + "0" * 308),
    ],
)
def test_a_number_is_written_shortest_without_exponent_or_trailing_zeros(value: float, text: str) -> None:
    assert number_text(value) == text
    assert json_bytes({"n": value, "l": [value]}) == f'{{"n":{text},"l":[{text}]}}'.encode()
    assert float(text) == float(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "",
        'ü😀\u0000"\\\n',
        [],
        {},
        {"z": 1, "a": {"y": [None, {"x": 2**63}], "b": -(2**63)}},
        [2**64, -(2**64), 2**63 - 1],
    ],
)
def test_what_is_written_reads_back_the_same(value: Any) -> None:
    text = json_bytes(value)
    assert json.loads(text) == value
    assert repr(json.loads(text)) == repr(value)  # keys in their order, types as they were
