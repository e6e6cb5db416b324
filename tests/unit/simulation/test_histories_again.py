"""What a worker decided after it had read the past is what its log decides again."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from livepromo.model.decisions import Grant
from livepromo.simulation.files import EntryLine, InputError, LogHeader, PublicationLine, record_line, write_line
from livepromo.simulation.run import Simulation, run_logged
from unit.engine.builders import HORIZONS, T0
from unit.worker.test_history import CAMPAIGN, DONE, World, a_world, went


def log_of(world: World, path: Path) -> str:
    """Write the log of the partition, as `livepromo log` does."""
    entries = sorted(world.owner.state.entries.items())
    with path.open("wb") as file:
        write_line(file, LogHeader(1, "events", 0))
        for record in world.logs.of("catalogue").records:
            write_line(file, PublicationLine(record.offset, T0, (record.value or b"").decode()))
        for record in world.logs.of("events").records:
            while entries and entries[0][0].offset <= record.offset:
                at, entry = entries.pop(0)
                write_line(file, EntryLine(at.offset, at.step, entry))
            write_line(file, record_line(record.offset, record.timestamp_ms, record.value))
        for at, entry in entries:
            write_line(file, EntryLine(at.offset, at.step, entry))
    return str(path)


def in_bytes(path: str) -> bytes:
    return Path(path).read_bytes()


def rewarded_again(path: str) -> list[str]:
    return sorted(one.candidate.user for one in run_logged(Simulation(HORIZONS), [path]) if isinstance(one, Grant))


async def test_a_campaign_that_looks_back_decides_the_same_again(tmp_path: Path) -> None:
    world = await a_world()
    await world.publications.follow()
    await world.owner.look()
    world.happens(*went(60), ("Paid", "u3", T0 + 61_000), ("Paid", "u1", T0 + DONE * 1000))  # while it is prepared; and one again
    await world.take()
    await world.look()
    world.happens(*went(70))
    await world.take()
    assert world.rewarded == ["u1"]
    assert rewarded_again(log_of(world, tmp_path / "log")) == ["u1"]


async def test_so_does_one_that_came_back(tmp_path: Path) -> None:
    world = await a_world()
    await world.look()
    for who in ({"property": "plan", "op": "exists"}, CAMPAIGN["who"]):
        world.published = world.publications.newest
        world.publish({**CAMPAIGN, "who": who})
        await world.look()
        world.happens(*went(60 + len(who)))
        await world.take()
    assert world.rewarded == ["u1"]
    assert rewarded_again(log_of(world, tmp_path / "log")) == ["u1"]


async def test_a_log_from_standard_input_cannot_be_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await a_world()
    await world.look()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(in_bytes(log_of(world, tmp_path / "log")))))
    with pytest.raises(InputError, match="write it to a file"):
        list(run_logged(Simulation(HORIZONS), ["-"]))
