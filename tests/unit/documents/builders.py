"""Documents for tests: one that is sound, and changes to it."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from livepromo.documents.files import check_content
from livepromo.documents.reading import Problem, ReadDocument
from livepromo.documents.references import check_documents
from livepromo.model.documents import Document

GONE: Any = object()
WALLET = {"kind": "wallet", "id": "grocery", "decimals": 2}
CAMPAIGN: dict[str, Any] = {
    "kind": "campaign",
    "id": "c",
    "qualify": {"live": {"event": "Charged"}},
    "reward": {
        "points": {"wallet": "grocery", "earn": {"percent": 10, "of": "Amount"}, "recurrence": {"total": 5}, "budget": {"campaign": 5000}},
    },
}
P = "reward.points"


def changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with the values at dotted paths put, or taken out."""
    result = copy.deepcopy(document)
    for path, value in changes.items():
        *outer, last = path.split(".")
        at = result
        for name in outer:
            at = at.setdefault(name, {})
        if value is GONE:
            del at[last]
        else:
            at[last] = value
    return result


def a_campaign(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    return changed(CAMPAIGN, changes or {})


def read_all(*documents: Any, zone: str = "UTC") -> tuple[list[ReadDocument], list[Problem]]:
    """Read documents from JSON text."""
    return check_content(json.dumps(list(documents)).encode(), "f.json", zone)


def problems_of(*documents: Any, zone: str = "UTC", strict: bool = False) -> list[Problem]:
    """Return the problems of documents, against one another too."""
    read, problems = read_all(*documents, zone=zone)
    return problems + check_documents(read, None, now_ms=None, strict=strict)


def found(*documents: Any, zone: str = "UTC") -> set[tuple[str, str]]:
    """Return the path and rule of every error."""
    return {(problem.path, problem.rule) for problem in problems_of(*documents, zone=zone) if problem.severity == "error"}


def meaning(document: Any, zone: str = "UTC") -> Document:
    """Return what a sound document means."""
    read, problems = read_all(document, zone=zone)
    assert not problems, [problem.text for problem in problems]
    assert read[0].document is not None
    return read[0].document


def steps(path: str) -> list[str | int]:
    """Return the keys and indexes of a path such as `$.where[0]["a key"]`."""
    parts: list[str | int] = []
    for word, index, quoted in re.findall(r'\.([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]+)\]|\[("(?:[^"\\]|\\.)*")\]', path):
        parts.append(word or (int(index) if index else json.loads(quoted)))
    return parts
