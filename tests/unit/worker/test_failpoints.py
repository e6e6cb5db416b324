"""A failpoint strikes the nth time its step is reached, once, and leaves a proof; elsewhere it does nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from livepromo.settings import SettingsError
from livepromo.worker.failpoints import STEPS, FailpointError, Failpoints

REACH_FIVE_TIMES = """
import sys
from livepromo.worker.failpoints import Failpoints
points = Failpoints.parse(sys.argv[1])
for number in range(1, 6):
    points.reach("decide.rows_written")
    print(number, flush=True)
"""


def _reach_five_times(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", REACH_FIVE_TIMES, text], stdout=subprocess.PIPE, text=True)


def test_nothing_happens_at_a_step_that_nobody_asked_for() -> None:
    points = Failpoints.parse("")
    for step in STEPS:
        points.reach(step)


def test_fail_raises_the_nth_time_and_only_then() -> None:
    points = Failpoints.parse("decide.rows_written=fail@2")
    points.reach("decide.rows_written")
    points.reach("deliver.published")
    with pytest.raises(FailpointError, match=r"decide\.rows_written"):
        points.reach("decide.rows_written")
    points.reach("decide.rows_written")


def test_without_a_number_it_is_the_first_time() -> None:
    with pytest.raises(FailpointError):
        Failpoints.parse("renew.claimed=fail").reach("renew.claimed")


def test_a_step_may_be_struck_twice() -> None:
    points = Failpoints.parse("takeover.named=fail@1,takeover.named=fail@3")
    struck = []
    for number in range(1, 5):
        try:
            points.reach("takeover.named")
        except FailpointError:
            struck.append(number)
    assert struck == [1, 3]


def test_kill_ends_the_process_at_the_step_and_the_log_proves_it(tmp_path: Path) -> None:
    log = tmp_path / "strikes"
    with _reach_five_times(f"decide.rows_written=kill@3,log={log}") as process:
        out, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert out.split() == ["1", "2"]
    assert log.read_text() == f"decide.rows_written kill 3 pid {process.pid}\n"


def test_freeze_stops_the_process_until_it_is_continued(tmp_path: Path) -> None:
    log = tmp_path / "strikes"
    with _reach_five_times(f"decide.rows_written=freeze@2,log={log}") as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert log.read_text() == f"decide.rows_written freeze 2 pid {process.pid}\n"
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.split() == ["1", "2", "3", "4", "5"]


def test_the_log_is_untouched_until_a_strike(tmp_path: Path) -> None:
    log = tmp_path / "strikes"
    points = Failpoints.parse(f"renew.claimed=fail@2,log={log}")
    points.reach("renew.claimed")
    assert not log.exists()
    with pytest.raises(FailpointError):
        points.reach("renew.claimed")
    assert log.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("decide.row_written=kill", r"did you mean decide\.rows_written\?"),
        ("xyzzy=kill", r"the steps are .*deliver\.published"),
        ("decide.rows_written=explode", "kill, freeze, fail"),
        ("decide.rows_written", "step=verb@nth"),
        ("decide.rows_written=kill@0", "step=verb@nth"),
    ],
)
def test_what_cannot_be_asked_for_is_an_error_of_the_settings(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=f"LIVEPROMO_FAILPOINTS: .*{said}"):
        Failpoints.parse(text)
