"""The rows of metadata (R33)."""

from __future__ import annotations

from livepromo.documents.fields import LONGEST_PROPERTY, Part, parts, scalar, text
from livepromo.documents.shapes import fields_of
from livepromo.documents.values import shown
from livepromo.model.documents import EventProperty, Fact, FactOf, Literal, MetadataRow, UserProperty

_SYSTEM_KEYS = tuple(fact.value for fact in Fact if fact is not Fact.USER_ID)
_REFERENCES = {"user.id": Fact.USER_ID, "campaign.id": Fact.CAMPAIGN_ID, "campaign.name": Fact.CAMPAIGN_NAME}
_REFERENCE_FORM = "event.<property>, user.<property>, user.id, campaign.id or campaign.name"
_LONGEST_KEY = 10**6


def metadata_of(reward: Part) -> tuple[MetadataRow, ...]:
    """Return the rows, each with a key of its own; those in which a problem was found are left out."""
    rows: list[MetadataRow] = []
    seen: set[str] = set()
    for row in parts(reward, "metadata", "R33"):
        row.only(fields_of("metadata_row"))
        mode = row.one_of(("value", "from", "system"), "R33", "source")
        if mode == "system" and "key" in row:
            row.error("key", "a system key has no other key: leave it out", "R33")
        name = "system" if mode == "system" else "key"
        key = text(row, name, "R33", wanted="" if mode is None else "the key", longest=_LONGEST_KEY)
        key = key.strip() if key is not None else None
        source = _source(row, mode, key)
        if key == "":
            row.error(name, "is empty after trimming", "R33")
        elif key is not None and key in seen:
            row.error(name, f"the key {shown(key)} is given twice", "R33")
        elif key is not None:
            seen.add(key)
            if source is not None:
                rows.append(MetadataRow(key, source))
    return tuple(rows)


def _source(row: Part, mode: str | None, key: str | None) -> Literal | EventProperty | UserProperty | FactOf | None:
    match mode:
        case "value":
            value = scalar(row.findings, row.fields["value"], row.at("value"), "R33")
            return Literal(value) if value is not None else None
        case "from":
            return _reference(row)
        case "system" if key:
            if key in _SYSTEM_KEYS:
                return FactOf(Fact(key))
            row.error("system", f"{shown(key)} is no system key; there are {', '.join(_SYSTEM_KEYS)}", "R33")
    return None


def _reference(row: Part) -> EventProperty | UserProperty | FactOf | None:
    reference = text(row, "from", "R33")
    if reference is None:
        return None
    if reference in _REFERENCES:
        return FactOf(_REFERENCES[reference])
    whose, _, name = reference.partition(".")
    if whose not in {"event", "user"} or not name:
        row.error("from", f"{shown(reference)} is not {_REFERENCE_FORM}", "R33")
    elif len(name) > LONGEST_PROPERTY:
        row.error("from", f"the property's name has {len(name)} characters: at most {LONGEST_PROPERTY} are allowed", "R33")
    else:
        return EventProperty(name) if whose == "event" else UserProperty(name)
    return None
