"""What a PromQL query asks for: names, labels, and which of them livepromo does not have."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import promql_parser

from livepromo.telemetry.families import HistogramOf
from livepromo.telemetry.metrics import TABLE

PREFIX = "livepromo_"
SCRAPED = {"job", "instance"}  # what Prometheus adds
FOREIGN = {"up": set[str](), "ALERTS": {"alertname", "alertstate", "severity"}}


def labels_of() -> dict[str, set[str]]:
    """Return the labels of every series that livepromo can expose, by name."""
    found: dict[str, set[str]] = {}
    for name, family in TABLE.items():
        labels = set(family.labels)
        if isinstance(family, HistogramOf):
            found |= {f"{PREFIX}{name}_bucket": labels | {"le"}, f"{PREFIX}{name}_sum": labels, f"{PREFIX}{name}_count": labels}
        else:
            found[PREFIX + name] = labels
    return found


def _below(node: Any) -> Iterator[Any]:
    yield node
    for part in ("lhs", "rhs", "expr", "param", "args", "vector_selector"):
        below = getattr(node, part, None)
        for one in below if isinstance(below, list) else [] if below is None else [below]:
            yield from _below(one)


def selectors(node: Any) -> Iterator[Any]:
    """Yield the series that an expression selects."""
    return (one for one in _below(node) if isinstance(one, promql_parser.VectorSelector))


def names_and_labels(query: str) -> list[tuple[str, set[str], dict[str, str]]]:
    """Return of every selector its name, the labels that it names, and the values that it wants equal."""
    found = []
    for one in selectors(promql_parser.parse(query)):
        matchers = one.matchers.matchers
        equal = {matcher.name: matcher.value for matcher in matchers if matcher.op == promql_parser.MatchOp.Equal}
        found.append((one.name, {matcher.name for matcher in matchers}, equal))
    return found


def unknown(query: str, recorded: Collection[str] = ()) -> list[str]:
    """Return the names and labels of a query that nothing exposes or records. Raises ValueError where it is no query."""
    there = labels_of() | FOREIGN
    wrong = []
    for name, labels, _ in names_and_labels(query):
        if name in recorded:
            continue
        if name not in there:
            wrong.append(name)
        else:
            wrong += [f"{name}: {label}" for label in sorted(labels - there[name] - SCRAPED)]
    for node in _below(promql_parser.parse(query)):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            below = {one.name for one in selectors(node)}
            if below & set(recorded):
                continue
            known = SCRAPED.union(*(there.get(name, set()) for name in below))
            wrong += [f"by {label}" for label in node.modifier.labels if label not in known]
    return wrong
