"""What the documentation says exists: links, commands, documents, records, settings, topics, metrics."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import NamedTuple

import pytest
from cyclopts import App, CycloptsError, Parameter

from livepromo.cli import COMMANDS, _app, _with_standard_streams
from livepromo.documents.files import check_content, read_files
from livepromo.documents.reading import Problem, ReadDocument, documents_of, read_text
from livepromo.documents.references import check_documents
from livepromo.engine.horizons import Horizons
from livepromo.model.decisions import Reason
from livepromo.model.documents import Campaign, Document, Wallet
from livepromo.model.records import DeadReason
from livepromo.settings import DENIED_TOPIC, GRANTED_TOPIC, METRICS_PORTS, PREFIX, Settings, load
from livepromo.simulation.files import read_texts
from livepromo.simulation.run import Simulation, decision_line, run_recorded
from livepromo.telemetry.metrics import TABLE
from livepromo.worker.failpoints import Failpoints
from livepromo.worker.topics import specs

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
INTERNAL = {"FAILPOINTS", "EMBEDDED", "SESSION", "RENEW"}
POOLS = {"coupon/spring-10": "spring-10.txt", "voucher_list/amazon/Holiday2025": "amazon-holiday.txt"}  # in examples/recorded
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")
_HEADINGS = re.compile(r"^#+ (.+)$", re.MULTILINE)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


class Block(NamedTuple):
    page: Path
    language: str
    text: str


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, *languages: str) -> list[Block]:
    found = [Block(page, *match.groups()) for match in _FENCE.finditer(page.read_text(encoding="utf-8"))]
    return [block for block in found if not languages or block.language in languages]


def page_named(name: str) -> Path:
    return ROOT / "docs" / f"{name}.md"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub makes them."""
    headings = _HEADINGS.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(page: Path, heading: str) -> str:
    """Return what stands below a heading, up to the next one of its kind or above."""
    level, _, rest = page.read_text(encoding="utf-8").partition(f"# {heading}\n")
    assert rest, f"{page.name} has no heading {heading}"
    hashes = level.rpartition("\n")[2] + "#"
    return re.split(rf"^#{{1,{len(hashes)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of every `livepromo …` in lines for a shell, without what comes before and behind it."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word and not set(word) <= set("|&;<>"):
                words.append(word)
                continue
            while words and _ASSIGNMENT.fullmatch(words[0]):
                del words[0]
            if words and words[0].rpartition("/")[2] == "livepromo":
                yield words[1:]
            words = []


def options_of(words: list[str]) -> set[str]:
    """Return the options of the command that the words begin with."""
    app: App = _app(words)
    for word in words:
        app = app[word]
    arguments = app.assemble_argument_collection(default_parameter=Parameter(negative=()))
    return {name for argument in arguments for name in argument.names}


def commands() -> list[list[str]]:
    return [
        [name, *below] for name, (where, _) in COMMANDS.items() for below in ([[one] for one in where] if isinstance(where, dict) else [[]])
    ]


def test_there_are_pages_to_look_at() -> None:
    assert {page.name for page in PAGES} >= {"README.md", "concepts.md", "documents.md", "records.md", "commands.md", "operations.md"}
    assert sum(len(blocks(page)) for page in PAGES) > 30


@pages
def test_every_relative_link_and_anchor_leads_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or not there.is_relative_to(ROOT) or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


@pages
def test_every_block_says_which_language_it_is_in(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"sh", "yaml", "json", "http", "python"}


@pages
def test_every_command_line_that_is_shown_is_one_that_livepromo_takes(page: Path) -> None:
    for block in blocks(page, "sh"):
        for words in command_lines(block.text):
            try:
                _app(words).parse_args(_with_standard_streams(words), exit_on_error=False, print_error=False)
            except CycloptsError as error:
                pytest.fail(f"livepromo {shlex.join(words)}: {error}")


@pages
def test_every_command_that_the_text_names_is_there(page: Path) -> None:
    known = commands()
    for span in _SPAN.findall(prose(page)):
        if not re.match(r"livepromo [a-z]", span):
            continue
        for words in command_lines(span):
            named = next((command for command in sorted(known, key=len, reverse=True) if words[: len(command)] == command), None)
            assert named or words[:1] in [command[:1] for command in known if words == command[:1]], f"`{span}` names no command"
            wrong = {word for word in words if word.startswith("--")} - options_of(named or words) - {"--help", "--version"}
            assert not wrong, f"`{span}` has {wrong}"


@pages
def test_every_make_target_and_file_of_the_checkout_that_is_named_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "\n".join([*_SPAN.findall(prose(page)), *(block.text for block in blocks(page, "sh"))])
    assert set(re.findall(r"\bmake ([a-z]+)\b", text)) <= targets
    for path in re.findall(r"(?:^|(?<=\s))(?:examples|tests|topologies|deploy|src)(?:/[\w.-]+)*", text, re.MULTILINE):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_a_section_that_shows_it_and_names_all_of_its_options(command: list[str]) -> None:
    text = section(page_named("commands"), " ".join(command))
    shown = [words for block in _FENCE.findall(text) for words in command_lines(block[1])]
    assert any(words[: len(command)] == command for words in shown)
    missing = {option for option in options_of(command) if option.startswith("--") and not re.search(rf"{option}\b", text)}
    assert not missing


@pages
def test_every_option_that_the_text_names_is_one_of_some_command(page: Path) -> None:
    known = {option for command in commands() for option in options_of(command)} | {"--help"}
    named = {span.split()[0].partition("=")[0] for span in _SPAN.findall(prose(page)) if re.match("--[a-z]", span)}
    assert named <= known


# -- documents


def checked(block: Block) -> tuple[list[ReadDocument], list[Problem]]:
    return check_content(block.text.encode(), block.page.name, "UTC")


def is_whole(block: Block) -> bool:
    return bool(re.search(r"^kind:", block.text, re.MULTILINE))


def whole_documents(page: Path) -> tuple[list[ReadDocument], list[Problem]]:
    read: list[ReadDocument] = []
    problems: list[Problem] = []
    for block in blocks(page, "yaml"):
        if is_whole(block):
            documents, found = checked(block)
            read += documents
            problems += found
    return read, problems


def examples() -> dict[str, Document]:
    read, problems = read_files([ROOT / "examples"], "UTC")
    assert not problems
    return {one.key: one.document for one in read if one.document is not None}


def with_wallets(read: list[ReadDocument]) -> list[ReadDocument]:
    """Return the documents and, of the examples, the wallets that are not among them."""
    keys = {one.key for one in read}
    others, _ = read_files([ROOT / "examples"], "UTC")
    return [*read, *(one for one in others if isinstance(one.document, Wallet) and one.key not in keys)]


@pages
def test_every_document_that_is_shown_is_sound(page: Path) -> None:
    read, problems = whole_documents(page)
    problems += check_documents(with_wallets(read), None, now_ms=None, strict=True)
    assert [problem.text for problem in problems] == []


@pages
def test_every_document_that_is_shown_is_an_example_of_the_checkout(page: Path) -> None:
    there = examples()
    for one in whole_documents(page)[0]:
        assert one.document == there[one.key]


def without(part: ReadDocument, lines: list[str]) -> list[str]:
    """Return the lines, but for those of one line each that `part` gives anew; the text of `part` itself ends with a new line."""
    return [line for line in lines if "\n" in line or line.partition(":")[0] not in part.value]


@pages
def test_every_part_of_a_campaign_that_is_shown_is_sound_in_a_campaign(page: Path) -> None:
    for block in blocks(page, "yaml"):
        if is_whole(block):
            continue
        (part,), _ = read_text(block.text.encode(), page.name)
        outer = ["kind: campaign", "id: shown", "qualify: {live: {event: Charged}}"]
        points = ["wallet: fuel", "earn: {flat: 1}"]
        (outer if set(part.value) <= {"qualify", "who", "when", "timezone"} else points).append(block.text)
        outer.append("reward:\n  points:\n" + indent("\n".join(without(part, points)), "    "))
        read, problems = check_content("\n".join(without(part, outer)).encode(), page.name, "UTC")
        problems += check_documents(with_wallets(read), None, now_ms=None, strict=False)
        assert [problem.text for problem in problems if problem.severity == "error"] == [], block.text


# -- records


@pytest.mark.parametrize("name", ["README.md", "docs/records.md"])
def test_the_records_that_are_shown_make_the_grants_and_denials_that_are_shown(name: str) -> None:
    page = ROOT / name
    first, *others = (block.text.splitlines() for block in blocks(page, "json"))
    shown = [line for block in others for line in block]
    told = {json.loads(line)["campaign"] for line in shown}
    read, _ = read_files([ROOT / "examples"], "UTC")
    documents = [one for one in documents_of(read) if not isinstance(one, Campaign) or one.id in told]
    codes = {pool: read_texts(str(ROOT / "examples" / "recorded" / file)).texts for pool, file in POOLS.items()}
    made = run_recorded(Simulation(Horizons(), codes), documents, [line.encode() for line in first])
    decided = [decision_line(one).decode().strip() for one in made]
    assert shown
    for line in shown:
        assert any(f":{line}}}" in decision for decision in decided), "\n".join(decided)


def test_every_reason_of_dead_letters_and_denials_is_explained() -> None:
    text = page_named("records").read_text(encoding="utf-8")
    known = {*DeadReason, *Reason}
    assert {reason for reason in known if f"`{reason.value}`" not in text} == set()


def test_denials_are_explained_in_the_order_in_which_they_are_judged() -> None:
    text = section(page_named("records"), "Out: denials")
    said = [name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in _SPAN.findall(row)]
    assert said == [reason.value for reason in Reason]


# -- settings, topics, metrics


def settings_named(text: str) -> set[str]:
    return set(re.findall(rf"\b{PREFIX}([A-Z]+(?:_[A-Z]+)*)\b", text))


def known_settings() -> set[str]:
    with pytest.raises(Exception, match="may be followed by") as refusal:
        load({f"{PREFIX}0000000": ""})
    return set(str(refusal.value).partition("may be followed by ")[2].split(", "))


@pages
def test_every_setting_that_is_named_is_one(page: Path) -> None:
    assert settings_named(page.read_text(encoding="utf-8")) <= known_settings()


def test_every_setting_but_the_internal_ones_is_in_the_table() -> None:
    said = [
        section(page_named("operations"), "Settings"),
        section(page_named("security"), "Kafka"),
        section(page_named("security"), "Redis"),
    ]
    assert set.union(*map(settings_named, said)) == known_settings() - INTERNAL


def test_the_defaults_in_the_table_are_those_of_the_settings() -> None:
    text = section(page_named("operations"), "Settings")
    assert f"from {METRICS_PORTS[0]} to {METRICS_PORTS[-1]}" in text
    for names, defaults in re.findall(r"^\| (`LIVEPROMO_.*?) \| (`.*?) \|", text, re.MULTILINE):
        asked = dict(zip(_SPAN.findall(names), _SPAN.findall(defaults), strict=True))
        assert load(asked) == Settings(), asked


def test_failpoints_that_are_shown_are_steps() -> None:
    shown = re.findall(r"`([a-z_]+\.[a-z_]+=[a-z]+@\d+)`", page_named("simulation").read_text(encoding="utf-8"))
    assert shown
    for text in shown:
        Failpoints.parse(text)


def test_every_topic_is_in_the_table_with_its_partitions() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section(page_named("operations"), "Topics"), re.MULTILINE)
    said = {name: partitions for names, partitions in rows for name in _SPAN.findall(names)}
    made = {spec.name: spec.partitions for spec in specs(Settings(), {})}
    assert set(said) == set(made) >= {GRANTED_TOPIC, DENIED_TOPIC}
    assert {name: int(text) for name, text in said.items() if text.isdigit()}.items() <= made.items()


def metrics_table() -> str:
    """Return the table of all metrics as docs/metrics.md has it."""
    lines = ["| name | type | labels | means |", "|---|---|---|---|"]
    for name, family in TABLE.items():
        labels = [f"{label} = {', '.join(values)}" if values else label for label, values in family.labels.items()]
        lines.append(f"| `livepromo_{name}` | {family.kind} | {'; '.join(labels)} | {family.means} |")
    return "\n".join(lines) + "\n"


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    text = page_named("metrics").read_text(encoding="utf-8")
    assert metrics_table() in text, f"docs/metrics.md should have:\n{metrics_table()}"


@pages
def test_every_metric_that_is_named_is_exposed(page: Path) -> None:
    named = set(re.findall(r"\blivepromo_([a-z_]+)", page.read_text(encoding="utf-8")))
    assert named <= TABLE.keys()


# -- decision records


@pytest.mark.parametrize("page", sorted((ROOT / "docs/adr").glob("0*.md")), ids=lambda page: page.stem)
def test_every_decision_record_has_its_four_parts_and_is_listed(page: Path) -> None:
    assert _HEADINGS.findall(prose(page))[1:] == ["Context", "Decision", "Consequences", "What would change our mind"]
    assert f"]({page.name})" in (page.parent / "README.md").read_text(encoding="utf-8")
