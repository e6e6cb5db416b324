"""A worker's metrics page, as Prometheus would read it."""

from __future__ import annotations

import urllib.request
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families


class Scrape(NamedTuple):
    """A metrics page: what each family is, and its samples by name and labels."""

    kinds: dict[str, str]
    labels: dict[str, set[frozenset[str]]]
    samples: dict[tuple[str, frozenset[str]], float]

    @classmethod
    def of(cls, port: int) -> Scrape:
        """Ask a worker of this machine."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            text = page.read().decode()
        found = cls({}, {}, {})
        for family in text_string_to_metric_families(text):
            name = family.name + ("_total" if family.type == "counter" else "")
            found.kinds[name] = family.type
            found.labels[name] = {frozenset(sample.labels.keys() - {"le"}) for sample in family.samples}
            for sample in family.samples:
                found.samples[sample.name, frozenset(f"{key}={value}" for key, value in sample.labels.items())] = sample.value
        return found

    def value(self, name: str, **labels: object) -> float:
        """Return one sample."""
        return self.samples[f"livepromo_{name}", frozenset(f"{key}={value}" for key, value in labels.items())]

    def all(self, name: str) -> dict[frozenset[str], float]:
        """Return all samples of a name."""
        return {labels: value for (known, labels), value in self.samples.items() if known == f"livepromo_{name}"}
