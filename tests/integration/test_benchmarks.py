"""The benchmark of throughput runs, in small: its figures mean nothing then, but its recount does."""

from __future__ import annotations

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
