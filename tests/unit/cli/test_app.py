"""The command ends with the exit codes of the specification, says in one line what to do, and imports only what it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import livepromo.cli
from livepromo.cli import COMMANDS, main
from livepromo.cli.errors import ENDINGS, InputError, UnfitError, UnreachableError, UsageError
from livepromo.settings import SettingsError


def _paths() -> list[str]:
    return [path for where, _ in COMMANDS.values() for path in ([where] if isinstance(where, str) else [p for p, _ in where.values()])]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a module whose `run` is what `livepromo check` calls."""
    module = ModuleType("livepromo_command_of_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(livepromo.cli.COMMANDS, "check", (f"{module.__name__}:run", "A command."))
    return module


def _raising(module: ModuleType, error: BaseException) -> None:
    def run() -> None:
        raise error

    module.run = run  # type: ignore[attr-defined]


def test_a_command_that_is_done_ends_with_0(command: ModuleType) -> None:
    command.run = lambda: None  # type: ignore[attr-defined]
    assert main(["check"]) == 0


def test_a_command_may_be_a_coroutine_and_choose_its_exit_code(command: ModuleType) -> None:
    async def run() -> int:
        return 1

    command.run = run  # type: ignore[attr-defined]
    assert main(["check"]) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x.yaml is empty: write a document"), 1),
        (SettingsError("LIVEPROMO_GRACE is wrong"), 2),
        (UsageError("--a and --b exclude one another"), 2),
        (UnreachableError("kafka at a:1 cannot be reached"), 3),
        (UnfitError("topic events has CreateTime"), 3),
    ],
)
def test_an_error_that_a_user_can_mend_is_one_line_on_standard_error(
    command: ModuleType, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    _raising(command, error)
    assert main(["check"]) == code
    said = capsys.readouterr()
    assert said.err == f"livepromo: {error}\n"
    assert said.out == ""


@pytest.mark.parametrize("name", ENDINGS)
def test_every_error_of_the_table_exists_and_ends_as_the_table_says(
    command: ModuleType, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    module, _, kind = name.rpartition(".")
    made: type[Exception] = getattr(import_module(module), kind)
    error = made.__new__(made)
    error.args = ("the thing\nthat happened",)
    _raising(command, error)
    assert main(["check"]) == ENDINGS[name].code
    said = capsys.readouterr().err
    assert said.startswith("livepromo: the thing that happened")
    assert said.count("\n") == 1


def test_a_full_disk_is_one_line_and_no_bug() -> None:
    words = [sys.executable, "-c", "import sys; from livepromo.cli import main; sys.exit(main())", "check", "-"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, input="[]", stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "livepromo: what was to be written was not written, or not all of it: No space left on device"
    assert "Traceback" not in done.stderr


def test_a_bug_is_raised_as_it_is(command: ModuleType) -> None:
    _raising(command, ZeroDivisionError("half"))
    with pytest.raises(ZeroDivisionError):
        main(["check"])


def test_ctrl_c_is_quiet(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    _raising(command, KeyboardInterrupt())
    assert main(["check"]) == 130
    assert capsys.readouterr().err == ""


def test_ctrl_c_in_a_coroutine_is_quiet_too(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        raise KeyboardInterrupt

    command.run = run  # type: ignore[attr-defined]
    assert main(["check"]) == 130
    assert capsys.readouterr().err == ""


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = """
import sys, types
import livepromo.cli
module = types.ModuleType("many")
module.run = lambda: print("line\\n" * 100_000)
sys.modules["many"] = module
livepromo.cli.COMMANDS["check"] = ("many:run", "x")
sys.exit(livepromo.cli.main(["check"]))
"""
    reader, writer = os.pipe()
    with subprocess.Popen([sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, text=True) as process:
        os.close(writer)
        os.close(reader)
        _, said = process.communicate(timeout=30)
    assert said == ""
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chek"], 'there is no command "chek": did you mean check?'),
        (["xyzzy"], 'there is no command "xyzzy": the commands are dev, init'),
        (["ledger", "verfy"], 'there is no command "ledger verfy": did you mean verify?'),
        (["init", "--dryrun"], "Did you mean --dry-run?"),
        (["init", "surplus"], "surplus"),
        (["--verison"], "--verison"),
    ],
)
def test_unknown_commands_and_options_end_with_2_and_a_hint(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("livepromo")


def test_help_names_every_command_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, (_, line) in COMMANDS.items():
        assert name in out
        assert line[:40] in out


def test_help_of_a_group_names_what_is_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Compare Redis" in out
    assert "Fill Redis" in out


@pytest.mark.parametrize("path", _paths())
def test_every_command_is_there_and_its_help_has_an_example(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, function = path.partition(":")
    assert re.search(r"^    Example: `.*\blivepromo .*`$", getattr(import_module(module), function).__doc__ or "", re.MULTILINE)
    words = [name for name, (where, _) in COMMANDS.items() if where == path] or next(
        [name, below]
        for name, (where, _) in COMMANDS.items()
        if isinstance(where, dict)
        for below, (one, _) in where.items()
        if one == path
    )
    assert main([*words, "--help"]) == 0
    assert "Example: " in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["chek"], ["check", "--help"], ["preview", "--help"], ["init", "--help"]])
def test_a_command_imports_only_what_it_needs(words: list[str]) -> None:
    script = "import sys; from livepromo.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True).stdout
    heavy = {"faust", "mode", "redis", "aiohttp", "confluent_kafka"} | (set() if words[0] == "init" else {"aiokafka"})
    assert not heavy & set(out.splitlines()[-1].split())


def test_a_wrong_setting_ends_with_2_before_anything_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIVEPROMO_GRACE", "soon")
    assert main(["init"]) == 2
    assert capsys.readouterr().err.startswith('livepromo: LIVEPROMO_GRACE is "soon": it must be')


def test_the_installed_command_is_this_one() -> None:
    installed = Path(sys.prefix, "bin", "livepromo")
    done = subprocess.run([installed, "chek"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == 'livepromo: there is no command "chek": did you mean check?\n'
