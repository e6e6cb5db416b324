"""`livepromo dev` as a user runs it: on a machine with nothing but Python, ended by Ctrl-C, and with its worker killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from livepromo import sandbox
from whole import LIVEPROMO, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SAMPLES = Path(sandbox.__file__ or "").with_name("samples")
BY_ORDER = {"cashback", "early-birds"}  # their budgets bind: who gets the last of it depends on the order of partitions
WINDOWS = "cart-rescue"
ONLY_PYTHON = {"PATH": str(Path(sys.executable).parent)}  # no Java, no Redis but the package's


class Dev:
    """A run of `livepromo dev`, and every process that it has started."""

    def __init__(self, home: Path, words: Sequence[str], environ: dict[str, str]) -> None:
        self._out, self._err = home / "out", home / "err"
        self.temporary = home / "temporary"
        self.temporary.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LIVEPROMO_")}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [LIVEPROMO, "dev", *words],
                env=kept | {"TMPDIR": str(self.temporary)} | environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.started: set[psutil.Process] = set()

    @property
    def grants(self) -> list[str]:
        """The lines of grants."""
        return self._out.read_text().splitlines()

    @property
    def said(self) -> str:
        """What it said."""
        return self._err.read_text()

    def _look(self) -> bool:
        if self.process.poll() is None:
            self.started |= set(psutil.Process(self.process.pid).children(recursive=True))
        return self.process.poll() is not None

    def until_grants(self, count: int) -> None:
        """Wait until it has shown some."""
        until(lambda: self._look() or len(self.grants) >= count, 90, f"{count} grants of\n{self.said}")
        assert self.process.poll() is None, self.said

    def workers(self) -> list[psutil.Process]:
        """Return the processes of its workers."""
        self._look()
        found = []
        for process in self.started:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.cmdline()[-1:] == ["worker"]:
                    found.append(process)
        return found

    def left(self) -> list[psutil.Process]:
        """Return what it has started and still runs."""
        return [process for process in self.started if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]

    def ends(self, code: int, seconds: float = 120) -> None:
        """Wait for its end; nothing that it started may be left, no process and no file."""
        until(self._look, seconds, f"it ends:\n{self.said}")
        assert self.process.returncode == code, self.said
        assert self.left() == []
        assert len(self.started) >= 2, "a worker and a Redis were started"
        assert list(self.temporary.glob("livepromo-dev-*")) == []

    def close(self) -> None:
        """End whatever is left."""
        for process in (self.process, *self.left()):
            process.kill()
        self.process.wait(30)


@pytest.fixture
def started() -> Iterator[list[Dev]]:
    runs: list[Dev] = []
    yield runs
    for run in runs:
        run.close()


def _simulated(home: Path, events: Path) -> list[tuple[str, str, str, str]]:
    """Return time, user, campaign and reward of every grant that `livepromo simulate` makes."""
    out = home / "simulated.jsonl"
    words = [LIVEPROMO, "simulate", "--documents", SAMPLES, "--events", events, "--out", out]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    found = []
    for line in out.read_text().splitlines():
        if (grant := json.loads(line).get("grant")) is not None:
            when = datetime.fromtimestamp(grant["granted_at"] // 1000, UTC).strftime("%H:%M:%S")
            reward = grant["reward"]
            what = f"{reward['points']} {reward['wallet']}" if "points" in reward else f"{reward['value']} {reward['item']}"
            found.append((when, grant["user"], grant["campaign"], f"+{what}"))
    return found


def _shown(dev: Dev) -> list[tuple[str, str, str, str]]:
    return [(words[0], words[1], words[2], words[3]) for words in (re.split(r" {2,}", line) for line in dev.grants)]


def _amounts(grants: list[tuple[str, str, str, str]], campaign: str) -> Decimal:
    return sum((Decimal(reward.split()[0]) for _, _, name, reward in grants if name == campaign), Decimal())


def _check_shown(dev: Dev, home: Path, events: Path) -> None:
    shown, simulated = _shown(dev), _simulated(home, events)
    assert len(shown) > 50
    windows = Counter(one for one in shown if one[2] == WINDOWS)
    assert windows.total() > 0, "no window fired"
    assert windows <= Counter(simulated), "those that are still open at the end are closed by a simulation"
    by_cause = BY_ORDER | {WINDOWS}
    assert Counter(one for one in shown if one[2] not in by_cause) == Counter(one for one in simulated if one[2] not in by_cause)
    for campaign in BY_ORDER:
        assert _amounts(shown, campaign) == _amounts(simulated, campaign), campaign


def test_on_a_machine_with_only_python_it_shows_the_grants_that_simulate_makes(started: list[Dev], tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    dev = Dev(tmp_path, ["--seconds", "8", "--rate", "100", "--verify", "--record", str(events)], ONLY_PYTHON)
    started.append(dev)
    dev.ends(0)
    assert re.search(r"^metrics +http://127\.0\.0\.1:\d+/metrics$", dev.said, re.MULTILINE)
    for said in (
        "mock",
        "one worker",
        "gentle traffic",
        "this machine's clock",
        "livepromo get",
        "the embedded broker forgets",
        "verified: the ",
    ):
        assert said in dev.said
    assert "early-birds: its budget does not suffice any more" in dev.said, "at this rate it is spent within seconds"
    _check_shown(dev, tmp_path, events)


def test_ctrl_c_ends_it_within_seconds_and_leaves_nothing_behind(started: list[Dev], tmp_path: Path) -> None:
    dev = Dev(tmp_path, ["--verify"], {})
    started.append(dev)
    dev.until_grants(5)
    dev.process.send_signal(signal.SIGINT)
    dev.ends(0, 20)
    assert re.search(r"^welcome +\d+", dev.said, re.MULTILINE), "what was granted is said at the end"
    assert "the embedded broker forgets" in dev.said
    assert "verified: the " in dev.said, "what was sent before is decided and delivered"


def test_ctrl_c_while_it_starts_ends_it_as_well(started: list[Dev], tmp_path: Path) -> None:
    dev = Dev(tmp_path, [], {})
    started.append(dev)
    until(lambda: len(dev.workers()) == 1, 60, dev.said)
    dev.process.send_signal(signal.SIGINT)
    dev.ends(0, 30)
    assert "ended before anything was sent" in dev.said
    assert dev.grants == []


def test_a_worker_that_is_killed_ends_it_with_its_log_and_a_sentence(started: list[Dev], tmp_path: Path) -> None:
    dev = Dev(tmp_path, [], {})
    started.append(dev)
    dev.until_grants(1)
    (worker,) = dev.workers()
    worker.kill()
    dev.ends(1, 30)
    assert "was killed (SIGKILL)" in dev.said
    assert "INFO worker: events[" in dev.said, "the tail of the worker's log"
    assert "the embedded broker forgets; start again" in dev.said


@pytest.mark.xdist_group("kafka")
def test_on_a_real_broker_two_workers_show_the_grants_that_simulate_makes(started: list[Dev], tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    words = ["--broker", "kafka", "--workers", "2", "--seconds", "8", "--rate", "100", "--verify", "--record", str(events)]
    dev = Dev(tmp_path, words, {})
    started.append(dev)
    dev.ends(0)
    assert "verified: the " in dev.said
    assert len(re.findall(r"^metrics +http", dev.said, re.MULTILINE)) == 2
    _check_shown(dev, tmp_path, events)


@pytest.mark.xdist_group("kafka")
def test_on_a_real_broker_a_killed_worker_costs_nothing_while_another_is_left(started: list[Dev], tmp_path: Path) -> None:
    dev = Dev(tmp_path, ["--broker", "kafka", "--workers", "2", "--rate", "50", "--verify"], {})
    started.append(dev)
    dev.until_grants(100)
    first, _ = dev.workers()
    first.kill()
    until(lambda: "the others take its partitions over" in dev.said, 20, dev.said)
    dev.process.send_signal(signal.SIGTERM)
    dev.ends(0)
    assert "verified: the " in dev.said


def test_without_java_a_real_broker_is_refused_with_what_to_install(started: list[Dev], tmp_path: Path) -> None:
    dev = Dev(tmp_path, ["--broker", "kafka"], ONLY_PYTHON | {"JAVA_HOME": ""})
    started.append(dev)
    until(dev._look, 60, "it ends")
    assert dev.process.returncode == 3
    assert "needs Java 17 or newer: install it" in dev.said.splitlines()[-1]
