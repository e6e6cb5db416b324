"""The JSON Schema of a kind, by which an editor helps its author: made of the table that the checker refuses by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from livepromo.documents.shapes import SHAPES, Schema, Shape
from livepromo.model.documents import KINDS

ANY_KIND = "document"
_DRAFT = "http://json-schema.org/draft-07/schema#"  # the newest that editors' YAML plug-ins know whole
_REFERENCE = "#/definitions/"


def schema_of(kind: str) -> Schema:
    """Return the schema of a kind or, for `document`, of a document of any kind.

    It says which fields there are and what their values look like; what may be combined, and what exists, is for the checker to say.
    """
    root = _any_kind() if kind == ANY_KIND else _object(SHAPES[kind])
    names: dict[str, Schema] = {}
    waiting = list(_references(root))
    while waiting:
        name = waiting.pop()
        if name not in names:
            names[name] = _object(SHAPES[name])
            waiting += _references(names[name])
    return {"$schema": _DRAFT, "title": kind, **root, "definitions": dict(sorted(names.items()))}


def _any_kind() -> Schema:
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": list(KINDS)}},
        "allOf": [{"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": f"{_REFERENCE}{kind}"}} for kind in KINDS],
    }


def _object(shape: Shape) -> Schema:
    found: Schema = {"description": shape.about, "type": "object"}
    found["properties"] = {name: {**field.value, **_about(field.value, field.about)} for name, field in shape.fields.items()}
    required = [name for name, field in shape.fields.items() if field.required]
    if required:
        found["required"] = required
    found["additionalProperties"] = False
    if shape.variants:
        of_variants = {name for variant in shape.variants for name in (*variant.required, *variant.optional)}
        found["oneOf"] = []
        for variant in shape.variants:
            others = sorted(of_variants.difference(variant.required, variant.optional))
            found["oneOf"].append({"required": list(variant.required), "properties": dict.fromkeys(others, False)})
    return {**found, **shape.more}


def _about(value: Schema, about: str) -> Schema:
    return {"description": about} if about and "$ref" not in value else {}  # in draft 7 nothing may stand beside a reference


def _references(schema: Any) -> Iterator[str]:  # noqa: ANN401 - any part of a schema
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "$ref":
                yield value.removeprefix(_REFERENCE)
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)
