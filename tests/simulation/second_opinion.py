"""What `livepromo simulate --log` grants over the logs of a world: no fault, the same control entries."""

from __future__ import annotations

from pathlib import Path

from msgspec import convert

from livepromo.engine.entries import ControlEntry
from livepromo.model.decisions import Grant
from livepromo.simulation.files import LOG_VERSION, EntryLine, LogHeader, PublicationLine, record_line, write_line
from livepromo.simulation.run import Simulation, run_logged
from simulation.owed import Taken, control_entries
from simulation.processes import CATALOGUE
from simulation.world import World


def _line(taken: Taken) -> EntryLine:
    return EntryLine(taken.offset, taken.step, convert(taken.said, ControlEntry))


def simulated(world: World, folder: Path) -> tuple[dict[str, tuple[str, bytes]], set[str]]:
    """Return campaign and body of every grant by its id, and the campaigns of which a limit refused or reduced something."""
    paths = []
    for number in range(world.topics.event_partitions):
        path = folder / f"{number}.jsonl"
        with path.open("wb") as out:
            write_line(out, LogHeader(LOG_VERSION, "events", number))
            for ever in world.kafka.of(CATALOGUE, 0).ever:
                assert ever.record.value is not None
                write_line(out, PublicationLine(ever.record.offset, ever.record.timestamp_ms, ever.record.value.decode()))
            entries = control_entries(world, number)
            for ever in world.kafka.of("events", number).ever:
                while entries and entries[0].offset <= ever.record.offset:
                    write_line(out, _line(entries.pop(0)))
                write_line(out, record_line(ever.record.offset, ever.record.timestamp_ms, ever.record.value))
            for entry in entries:
                write_line(out, _line(entry))
        paths.append(str(path))
    grants, bound = {}, set()
    for decision in run_logged(Simulation(world.horizons), paths):
        if isinstance(decision, Grant):
            candidate = decision.candidate
            grants[candidate.grant_id] = str(candidate.campaign), decision.as_json()
            if decision.amount_units != candidate.amount_units:
                bound.add(str(candidate.campaign))
        elif decision.limit is not None:
            bound.add(str(decision.campaign))
    return {str(name): grant for name, grant in grants.items()}, bound


def differences(world: World, bound: set[str], granted: dict[str, tuple[str, bytes]], folder: Path) -> list[str]:
    """Return where a world's grants differ from those of the simulation, in campaigns of which no limit bound anything in either.

    (Partitions are woven together in another order, so a user of several may meet a limit in one of the two alone. For the same reason
    codes are given to others: campaigns that draw on a pool are left to the judge.)
    """
    grants, bound_too = simulated(world, folder)
    bound_too |= {"k0", "k1"}
    wanted = {name: one for name, one in grants.items() if one[0] not in bound | bound_too}
    found = {name: one for name, one in granted.items() if one[0] not in bound | bound_too}
    return [f"simulate grants {wanted.get(n)}, the world {found.get(n)}" for n in wanted.keys() | found if wanted.get(n) != found.get(n)]
