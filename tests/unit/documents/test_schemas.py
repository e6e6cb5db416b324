"""The JSON Schemas: an editor takes what the checker takes, and refuses what has a wrong field or a value of a wrong form."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from livepromo.cli import main
from livepromo.documents.reading import read_text
from livepromo.documents.schemas import schema_of
from livepromo.documents.shapes import SHAPES
from livepromo.model.documents import KINDS
from unit.documents import test_audiences, test_checking, test_kinds, test_rewards
from unit.documents.builders import WORLD, a_campaign, rewarding, sent

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
TYPES: dict[str, Any] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float | Decimal) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int | float | Decimal) and not isinstance(value, bool) and value == value // 1,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
KNOWN = {
    "$schema", "title", "description", "definitions", "default", "type", "enum", "const", "pattern", "minLength", "maxLength", "minimum",
    "exclusiveMinimum", "maximum", "items", "minItems", "maxItems", "properties", "required", "additionalProperties", "propertyNames",
    "minProperties", "dependencies", "oneOf", "anyOf", "allOf", "not", "if", "then", "else", "$ref",
}  # fmt: skip


def takes(schema: Any, value: Any, root: Any) -> bool:
    """Say whether a schema takes a value, by as much of draft 7 as the schemas use."""
    if isinstance(schema, bool):
        return schema
    assert schema.keys() <= KNOWN, schema.keys() - KNOWN
    if "$ref" in schema:
        return takes(root["definitions"][schema["$ref"].removeprefix("#/definitions/")], value, root)

    def same(one: Any) -> bool:
        return type(one) is type(value) and one == value

    def all_take(schemas: Any, check: Any = all) -> bool:
        return bool(check(takes(one, value, root) for one in schemas))

    types = schema.get("type", [])
    ok = not types or any(TYPES[one](value) for one in ([types] if isinstance(types, str) else types))
    ok = ok and ("enum" not in schema or any(map(same, schema["enum"]))) and ("const" not in schema or same(schema["const"]))
    ok = ok and all_take(schema.get("allOf", [])) and ("anyOf" not in schema or all_take(schema["anyOf"], any))
    ok = ok and ("oneOf" not in schema or all_take(schema["oneOf"], lambda found: sum(found) == 1))
    ok = ok and ("not" not in schema or not takes(schema["not"], value, root))
    if ok and "if" in schema:
        ok = takes(schema.get("then" if takes(schema["if"], value, root) else "else", True), value, root)
    if isinstance(value, str):
        ok = ok and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9)
        ok = ok and ("pattern" not in schema or re.search(re.sub(r"\$$", r"\\Z", schema["pattern"]), value) is not None)
    elif TYPES["number"](value):
        ok = ok and value >= schema.get("minimum", value) and value <= schema.get("maximum", value)
        ok = ok and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
    elif isinstance(value, list):
        ok = ok and schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9)
        ok = ok and all(takes(schema.get("items", True), item, root) for item in value)
    elif isinstance(value, dict):
        fields = schema.get("properties", {})
        ok = ok and all(name in value for name in schema.get("required", [])) and len(value) >= schema.get("minProperties", 0)
        ok = ok and all(takes(schema.get("propertyNames", True), name, root) for name in value)
        ok = ok and all(takes(fields.get(name, schema.get("additionalProperties", True)), inner, root) for name, inner in value.items())
        needed = [other for name, others in schema.get("dependencies", {}).items() if name in value for other in others]
        ok = ok and all(name in value for name in needed)
    return ok


SCHEMAS = {kind: schema_of(kind) for kind in (*KINDS, "document")}


def taken(document: Any) -> bool:
    of_kind = takes(SCHEMAS[document["kind"]], document, SCHEMAS[document["kind"]])
    assert of_kind == takes(SCHEMAS["document"], document, SCHEMAS["document"])
    return of_kind


SOUND: list[Any] = [
    *WORLD,
    *[a_campaign(changes) for changes in test_checking.OK],
    *[rewarding(reward, changes) for reward, changes in test_rewards.OK],
    *[sent(reward) for reward in ("points", "coupon", "voucher", "item", "credits")],
    *[document for document, _ in test_kinds.MEANINGS],
    *[test_audiences.who(audience) for audience, _ in test_audiences.MEANINGS],
    test_audiences.absent({"qualify.live.same": ["A", {"event": "B", "unless": "C"}], "qualify.live.retrigger": "keep"}),
    test_audiences.absent({"qualify.live.unless.event": ["A", "B"], "qualify.live.unless.grace": "5s"}),
]


@pytest.mark.parametrize("document", SOUND)
def test_what_the_checker_takes_the_schema_takes(document: Any) -> None:
    assert taken(document)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_names_its_schema_at_the_top_and_is_what_it_says(file: Path) -> None:
    content = file.read_bytes()
    first = content.decode().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    named = (file.parent / first.partition("=")[2]).resolve()
    schema = json.loads(named.read_text())
    read, problems = read_text(content, file.name)
    assert not problems
    assert read
    assert all(takes(schema, one.value, schema) and taken(one.value) for one in read)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schemas_that_are_shipped_are_those_that_the_command_writes(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", kind]) == 0
    written = capsys.readouterr().out
    assert written == (ROOT / "schemas" / f"{kind}.json").read_text()
    assert json.loads(written) == SCHEMAS[kind]


def test_a_kind_that_is_none_is_an_error_that_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "campagn"]) == 1
    assert "did you mean campaign?" in capsys.readouterr().err


def mappings(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [place for key, inner in items for place in mappings(inner, (*path, key)) if "headers" not in path]
    return [*([path] if isinstance(value, dict) else []), *below]


@pytest.mark.parametrize("document", SOUND)
def test_a_field_that_is_unknown_anywhere_is_refused_by_the_schema_as_by_the_checker(document: Any) -> None:
    for place in mappings(document):
        if place[-1:] == ("headers",):
            continue
        copied = json.loads(json.dumps(document))
        inner = copied
        for step in place:
            inner = inner[step]
        inner["unknown"] = 1
        assert not taken(copied), place
        assert test_checking.problems_of(copied), place


REQUIRED = {"$.id", "$.qualify", "$.reward", "$.reward.points.wallet", "$.reward.points.earn", "$.reward.points.earn.of"}
REFUSED_FORMS = [
    *[a_campaign(changes) for changes, path, _ in test_checking.REFUSED if test_checking.GONE in changes.values() and path in REQUIRED],
    *[test_kinds.changed(one, row[0]) for one, row in test_kinds.REFUSED if row[0].get("type", "") is test_kinds.GONE],
    {"kind": "wallet"}, {"kind": "wallet", "id": "A"}, {"kind": "wallet", "id": "w", "decimals": 4},
    {"kind": "wallet", "id": "w", "decimals": "2"},
    {"kind": "coupon", "id": "c", "type": "single"}, {"kind": "coupon", "id": "c", "type": "bulk", "code": "X"},
    {"kind": "segment", "id": "s"}, {"kind": "segment", "id": "s", "members": "fed", "who": {"sample": 5}},
    {"kind": "voucher_list", "id": "amazon"}, {"kind": "endpoint", "id": "e", "url": "ftp://x"},
    a_campaign({"qualify.live.same": ["A"]}), a_campaign({"qualify.live.retrigger": "keep"}),
    a_campaign({"qualify.past": {}}), a_campaign({"reward.coupon": {"type": "bulk", "coupon": "c"}}), a_campaign({"reward": {}}),
    a_campaign({"reward.points.earn": {"flat": 1, "of": "A"}}), a_campaign({"reward.points.earn": {"percent": 1}}),
    a_campaign({"reward.points.recurrence": {}}), a_campaign({"reward.points.budget": {}}),
    a_campaign({"reward.points.validity": {"expire_after": "1d", "expire_on": "2027-01-01T00:00"}}),
    a_campaign({"reward.points.metadata": [{"key": "a"}]}), a_campaign({"reward.points.metadata": [{"system": "event_id", "value": 1}]}),
    a_campaign({"when": {"send": "now", "start": "now"}}), a_campaign({"when": {"start": "2026-01-01"}}),
    rewarding("item", {"reward.custom.credits": {"wallet": "w", "earn": {"flat": 1}}}),
    *[test_audiences.who(bad) for bad in [{}, {"all": []}, {"sample": 0}, {"any": [{"sample": 5}], "same": ["A"]}]],
    test_audiences.who({"sample": 1, "list": "vip"}),
]  # fmt: skip


@pytest.mark.parametrize("document", REFUSED_FORMS)
def test_what_has_a_wrong_form_is_refused_by_the_schema_as_by_the_checker(document: Any) -> None:
    assert not taken(document)
    assert test_checking.problems_of(*WORLD, document)


def test_every_mapping_of_the_table_is_in_the_schema_of_some_kind() -> None:
    reached = {name for kind in KINDS for name in SCHEMAS[kind]["definitions"]}
    assert reached | set(KINDS) == set(SHAPES)
