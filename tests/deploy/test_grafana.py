"""The dashboards: what the generator makes, and every query of theirs asks for what livepromo exposes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.queries import PREFIX, labels_of, names_and_labels, unknown
from livepromo.telemetry.metrics import TABLE

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy/grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
NOT_DRAWN = {"livepromo_build_info"}  # counted, for the number of workers; its labels are for people


def panels(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["panels"]
    return [inner for panel in found for inner in (panel, *panel.get("panels", ()))]


def queries(file: Path) -> Iterator[str]:
    for panel in panels(file):
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m")


each = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def test_the_dashboards_are_what_the_generator_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, GRAFANA / "dashboards.py", tmp_path], check=True, timeout=60)
    made = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_text(encoding="utf-8") for file in FILES}, "run python deploy/grafana/dashboards.py"
    assert set(made) == {"money.json", "pipeline.json", "windows.json", "webhooks.json"}


@each
def test_every_query_asks_for_series_and_labels_that_exist_in_the_chosen_installation(file: Path) -> None:
    asked = list(queries(file))
    assert len(asked) >= 6
    for query in asked:
        assert unknown(query) == [], query
        assert all(values.get("job") == "$job" for _, _, values in names_and_labels(query)), query


@each
def test_every_graph_has_a_title_a_unit_and_its_own_place(file: Path) -> None:
    places = set()
    for panel in panels(file):
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["targets"]
        places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
    assert len(places) == len(panels(file))


def test_every_metric_is_on_some_dashboard() -> None:
    drawn = {name for file in FILES for query in queries(file) for name, _, _ in names_and_labels(query)}
    missing = {PREFIX + name for name in TABLE if not any(known.startswith(PREFIX + name) and known in drawn for known in labels_of())}
    assert missing <= NOT_DRAWN
