"""The benchmarks run, in small: their figures mean nothing then, but what they recount does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("benchmarks"), pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]


def test_both_systems_run_and_every_grant_is_recounted(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "benchmarks.throughput", "--events", "20000", "--json", tmp_path / "result.json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "grants recounted: all right, none missing, none twice" in done.stdout, done.stdout
    assert "plain Faust : livepromo" in done.stdout
    assert (tmp_path / "result.json").exists()


def test_calls_to_endpoints_are_measured_and_a_million_of_them_can_wait() -> None:
    words = [sys.executable, "-m", "benchmarks.webhooks", "--calls", "1000"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-4000:].decode()
    found = json.loads(done.stdout)
    assert found["mib_of_a_million_pending"] <= 200
    assert [rate["endpoints"] for rate in found["rates"]] == [1, 1, 1, 10]
    assert all(rate["calls_per_cpu_second"] > 0 for rate in found["rates"])
