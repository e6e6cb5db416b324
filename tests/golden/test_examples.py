"""The examples are decided as the file beside each of them says: `NAME.decisions.jsonl`, over the records of `examples/recorded`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from livepromo.cli import main
from livepromo.documents.files import read_files
from livepromo.documents.reading import documents_of
from livepromo.model.documents import Campaign, Credits, Custom, Live, Points, Reward

EXAMPLES = Path(__file__).parents[2] / "examples"
RECORDED = EXAMPLES / "recorded"
CODES = {"coupon/spring-10": "spring-10.txt", "voucher_list/amazon/Holiday2025": "amazon-holiday.txt"}
WORDS = ["simulate", "--documents", str(EXAMPLES), "--events", str(RECORDED / "events.jsonl")]
WORDS += [word for pool, file in CODES.items() for word in ("--codes", f"{pool}={RECORDED / file}")]
WORDS += ["--users", f"list/vip-2026={RECORDED / 'vip-2026.txt'}"]


def campaigns() -> dict[str, Campaign]:
    read, problems = read_files([EXAMPLES], "UTC")
    assert not problems
    return {str(one.id): one for one in documents_of(read) if isinstance(one, Campaign)}


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The lines of every campaign, simulated together."""
    out = tmp_path_factory.mktemp("examples") / "decisions.jsonl"
    assert main([*WORDS, "--out", str(out)]) == 0
    found: dict[str, list[str]] = {name: [] for name in campaigns()}
    for line in out.read_text().splitlines():
        [body] = json.loads(line).values()
        found[body["campaign"]].append(line)
    return found


@pytest.mark.parametrize("name", sorted(campaigns()))
def test_an_example_is_decided_as_the_file_beside_it_says(name: str, decided: dict[str, list[str]]) -> None:
    assert decided[name] == (EXAMPLES / f"{name}.decisions.jsonl").read_text().splitlines()
    assert any(line.startswith('{"grant":') for line in decided[name])


def _kind(reward: Reward) -> str:
    earn = reward.earn if isinstance(reward, Points) else reward.gift.earn if _has_credits(reward) else None  # type: ignore[union-attr]
    kind = str(reward.__struct_config__.tag)
    return kind if earn is None else f"{kind} {earn.__struct_config__.tag}"


def _has_credits(reward: Reward) -> bool:
    return isinstance(reward, Custom) and isinstance(reward.gift, Credits)


def test_there_is_an_example_of_every_type_of_reward_and_of_every_way_to_earn() -> None:
    kinds = Counter(_kind(one.reward) for one in campaigns().values())
    assert {"points flat", "points percent", "points per", "points random", "coupon", "voucher", "custom", "custom percent"} <= kinds.keys()
    assert kinds["coupon"] >= 2  # a single one, a bulk one


def test_there_is_an_example_of_every_way_to_qualify() -> None:
    ways = {str(one.qualify.__struct_config__.tag) for one in campaigns().values()}
    assert ways == {"live", "past", "list"}
    assert any(isinstance(one.qualify, Live) and one.qualify.unless is not None for one in campaigns().values())


def test_no_file_of_decisions_is_left_over() -> None:
    assert {path.name for path in EXAMPLES.glob("*.decisions.jsonl")} == {f"{name}.decisions.jsonl" for name in campaigns()}
