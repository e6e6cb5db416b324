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
EXTERNAL = {"kind": "wallet", "id": "ext", "decimals": 2, "external": True}
WORLD: list[dict[str, Any]] = [
    WALLET,
    EXTERNAL,
    {"kind": "coupon", "id": "one", "type": "single", "code": "SAVE20"},
    {"kind": "coupon", "id": "many", "type": "bulk"},
    {"kind": "partner", "id": "amazon"},
    {"kind": "voucher_list", "id": "amazon/Holiday2025"},
    {"kind": "item", "id": "watch"},
    {"kind": "endpoint", "id": "api", "url": "https://example.org/rewards"},
]
REWARDS: dict[str, dict[str, Any]] = {
    "points": CAMPAIGN["reward"],
    "coupon": {"coupon": {"type": "bulk", "coupon": "many", "max_per_user": 1, "max_per_campaign": 1000}},
    "voucher": {"voucher": {"partner": "amazon", "list_tag": "Holiday2025", "max_per_user": 1, "max_per_campaign": 1000}},
    "item": {"custom": {"endpoint": "api", "item": "watch", "recurrence": {"day": 1}, "budget": {"campaign": 5000, "month": 1000}}},
    "credits": {
        "custom": {
            "endpoint": "api",
            "credits": {"wallet": "ext", "earn": {"percent": 10, "of": "Amount"}},
            "recurrence": {"day": 1},
            "budget": {"campaign": 5000},
        }
    },
}


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


def rewarding(reward: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a live campaign with a reward of that type."""
    return changed(CAMPAIGN, {"reward": copy.deepcopy(REWARDS[reward]), **(changes or {})})


def sent(reward: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a past campaign with a reward of that type, without limits of live ones."""
    live = rewarding(reward, {"qualify": {"past": {}}, "who": {"sample": 5}})
    for inner in live["reward"].values():
        for name in ("max_per_user", "max_per_campaign", *(("recurrence", "budget") if reward == "points" else ())):
            inner.pop(name, None)
        if "percent" in inner.get("earn", inner.get("credits", {}).get("earn", {})):
            inner.get("credits", inner)["earn"] = {"flat": 5}
    return changed(live, changes or {})


def read_all(*documents: Any, zone: str = "UTC") -> tuple[list[ReadDocument], list[Problem]]:
    """Read documents from JSON text."""
    return check_content(json.dumps(list(documents)).encode(), "f.json", zone)


def problems_of(*documents: Any, zone: str = "UTC", strict: bool = False) -> list[Problem]:
    """Return the problems of documents, against one another too."""
    read, problems = read_all(*documents, zone=zone)
    return problems + check_documents(read, None, now_ms=None, strict=strict)


def found(*documents: Any, zone: str = "UTC") -> set[tuple[str, str]]:
    """Return the path and rule of every error."""
    problems = problems_of(*documents, zone=zone)
    return {(one.path, one.rule) for one in problems if one.severity == "error"}


def understood(*documents: Any, zone: str = "UTC") -> list[ReadDocument]:
    """Return sound documents with what they mean."""
    read, problems = read_all(*documents, zone=zone)
    assert not problems, [problem.text for problem in problems]
    return read


def meaning(document: Any, zone: str = "UTC") -> Document:
    """Return what a sound document means."""
    (read,) = understood(document, zone=zone)
    assert read.document is not None
    return read.document


def steps(path: str) -> list[str | int]:
    """Return the keys and indexes of a path such as `$.where[0]["a key"]`."""
    parts: list[str | int] = []
    for word, index, quoted in re.findall(r'\.([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]+)\]|\[("(?:[^"\\]|\\.)*")\]', path):
        parts.append(word or (int(index) if index else json.loads(quoted)))
    return parts
