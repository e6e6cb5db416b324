"""The schemas of what goes through the topics: real records fit, wrong ones do not, and AsyncAPI's own schema takes the document."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, ValidationError

from livepromo.behaviour.decoding import decode
from livepromo.behaviour.formats import FORMATS
from livepromo.model.records import Malformed
from livepromo.settings import load
from livepromo.worker.describing import SCHEMAS, asyncapi
from livepromo.worker.topics import specs

ROOT = Path(__file__).parents[3]
VALIDATORS = {name: Draft7Validator(make()) for name, make in SCHEMAS.items()}
DECISIONS = sorted((ROOT / "examples").glob("*.decisions.jsonl")) + sorted((ROOT / "tests/golden").rglob("decisions.jsonl"))


def decided(kind: str) -> list[dict[str, Any]]:
    """Return all grants, or denials, that tests hold on to."""
    lines = [json.loads(line) for path in DECISIONS for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [line[kind] for line in lines if kind in line]


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_a_schema_is_one(name: str) -> None:
    Draft7Validator.check_schema(SCHEMAS[name]())


def test_grants_of_every_type_fit_and_have_their_keys_in_the_order_of_the_schema() -> None:
    grants = decided("grant")
    assert set(Counter(grant["reward"]["type"] for grant in grants)) == {"points", "coupon", "voucher", "custom"}
    for grant in grants:
        VALIDATORS["grant"].validate(grant)
        assert list(grant) == list(SCHEMAS["grant"]()["properties"])


def test_denials_fit() -> None:
    denials = decided("denial")
    assert len({denial["reason"] for denial in denials}) > 3
    for denial in denials:
        VALIDATORS["denial"].validate(denial)
        assert [key for key in SCHEMAS["denial"]()["properties"] if key in denial] == list(denial)


@pytest.mark.parametrize("gone", ["grant_id", "user", "cause", "reward", "revision"])
def test_a_grant_without_one_of_its_fields_does_not_fit(gone: str) -> None:
    grant = decided("grant")[0]
    del grant[gone]
    with pytest.raises(ValidationError):
        VALIDATORS["grant"].validate(grant)


def test_a_grant_with_a_field_that_no_grant_has_does_not_fit() -> None:
    with pytest.raises(ValidationError):
        VALIDATORS["grant"].validate(decided("grant")[0] | {"more": 1})


RECORDS: dict[str, dict[str, Any]] = {
    "event": {"user": "u1", "event": "Bought", "ts": 1_772_359_200_000},
    "whole": {"type": "event", "id": "e", "user": "u1", "event": "Bought", "ts": "2026-03-01T10:00:00Z", "properties": {"a": [1]}, "x": 1},
    "nulls": {"type": None, "id": None, "user": "u1", "event": "Bought", "ts": 1_772_359_200_000, "properties": None},
    "profile": {"type": "profile", "user": "u1", "ts": 1_772_359_200_000, "properties": {"plan": None}},
    "segment": {"type": "segment", "user": "u1", "ts": 1_772_359_200_000, "segment": "loyal", "member": True},
}


@pytest.mark.parametrize("name", list(RECORDS))
def test_a_record_fits_if_and_only_if_it_is_read(name: str) -> None:
    record = RECORDS[name]
    VALIDATORS["record"].validate(record)
    assert not isinstance(decode(json.dumps(record).encode()), Malformed)
    wrong: list[dict[str, Any]] = [record | {"user": ""}, record | {"user": "x" * 256}, record | {"user": 5}, record | {"ts": 5}]
    wrong += [record | {field: [1]} for field in record if field != "x"]
    wrong += [
        {key: value for key, value in record.items() if key != field} for field in ("user", "ts", "event", "segment") if field in record
    ]
    for one in wrong:
        assert isinstance(decode(json.dumps(one).encode()), Malformed), one
        assert not VALIDATORS["record"].is_valid(one), one


def test_recorded_records_fit() -> None:
    lines = (ROOT / "examples/recorded/events.jsonl").read_text(encoding="utf-8").splitlines()
    fitting = [line for line in lines if VALIDATORS["record"].is_valid(json.loads(line))]
    assert len(fitting) > 10
    assert fitting == [line for line in lines if not isinstance(decode(line.encode()), Malformed)]


@pytest.mark.parametrize("format_", list(FORMATS))
def test_the_document_of_the_topics_is_one_of_asyncapi(format_: str) -> None:
    with gzip.open(ROOT / "tests/data/asyncapi-3.0.0.json.gz") as file:
        validator = Draft7Validator(json.load(file))
    document = asyncapi(load({"LIVEPROMO_FORMAT": format_}))
    validator.validate(document)
    del document["info"]
    assert not validator.is_valid(document), "a schema that takes anything says nothing"


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for item in value.values() for one in references(item)]
    return [one for item in value for one in references(item)] if isinstance(value, list) else []


@pytest.mark.parametrize("format_", list(FORMATS))
def test_the_document_has_every_topic_as_init_makes_it_and_refers_to_what_is_there(format_: str) -> None:
    settings = load({"LIVEPROMO_NAMESPACE": "shop", "LIVEPROMO_EVENTS": "clicks", "LIVEPROMO_FORMAT": format_})
    document = asyncapi(settings)
    bindings = {channel["address"]: channel["bindings"]["kafka"] for channel in document["channels"].values()}
    assert {name: found["partitions"] for name, found in bindings.items()} == {spec.name: spec.partitions for spec in specs(settings, {})}
    for spec in specs(settings, {}):
        assert str(bindings[spec.name]["topicConfiguration"].get("retention.ms")) == spec.config.get("retention.ms", "None")
    for reference in references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        assert found is not None
    assert {name for name in document["operations"] if name.startswith("receive")} == {"receive-events"}


@pytest.mark.parametrize("kind", [*SCHEMAS, "asyncapi"])
def test_the_command_writes_them(kind: str) -> None:
    done = subprocess.run([Path(sys.executable).with_name("livepromo"), "schema", kind], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == (asyncapi(load({})) if kind == "asyncapi" else SCHEMAS[kind]())
