"""livepromo log: one partition's records, with everything that its decisions depended on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import IO, TYPE_CHECKING

from livepromo.cli.errors import UsageError
from livepromo.cli.output import progress, say, writing
from livepromo.cli.surroundings import partitions
from livepromo.settings import Settings, load

if TYPE_CHECKING:
    from livepromo.behaviour.formats import Whole
    from livepromo.engine.entries import ControlEntry
    from livepromo.engine.state import State
    from livepromo.model.records import Position
    from livepromo.streaming.log import Log, LogRecord


async def log(partition: int, /, *, out: str) -> None:
    """Write one partition of the events topic to a file that `livepromo simulate --log` decides again, at the same places.

    Written are its records up to where the partition has been matched, its control entries and the publications that they name.
    Workers may go on meanwhile; nothing is claimed.

    Example: `livepromo log 3 --out partition-3.jsonl.gz`

    Args:
        partition: The number of the partition, from 0.
        out: The file; compressed if its name ends with .gz; - for standard output.
    """
    from livepromo.behaviour.formats import FORMATS  # noqa: PLC0415 - slow to import
    from livepromo.worker.publishing_changes import kafka_log  # noqa: PLC0415

    settings = load()
    count = (await partitions(settings, "catalogue", "state", events=True))[settings.events]
    if not 0 <= partition < count:
        raise UsageError(f"there is no partition {partition}: {settings.events} has 0 to {count - 1}")
    async with kafka_log(settings) as kafka:
        state = await _state(kafka, settings, partition)
        begin = await kafka.begin(settings.events, partition)
        with writing(out) as file, progress(f"partition {partition}", max(0, state.position.offset - begin)) as moved:
            publications = await _write_publications(file, kafka, settings, partition, state.catalogue)
            entries = _Entries(state.entries)
            records = 0
            async for some in kafka.read(settings.events, partition, begin, state.position.offset):
                _write_records(file, some, entries, FORMATS[settings.format].whole)
                records += len(some)
                moved(len(some))
            entries.write_before(file, None)
    say(
        f"{settings.events}[{partition}]: {records} records up to {state.position.offset}, {len(state.entries)} control entries, "
        f"{publications} publications"
    )
    if begin > 0 and records:
        say(f"{settings.events}[{partition}] begins at {begin}: what earlier records left behind is not in the file, and may be missed")


async def _state(kafka: Log, settings: Settings, partition: int) -> State:
    """Return the state of a partition as its journal has it now. Raises FormatError, UnavailableError."""
    from livepromo.engine.journalling import restore_part  # noqa: PLC0415 - slow to import
    from livepromo.engine.state import State  # noqa: PLC0415
    from livepromo.streaming.journal import read_journal  # noqa: PLC0415
    from livepromo.worker.horizons import horizons_of  # noqa: PLC0415

    state, topic = State(horizons_of(settings)), settings.topic("state")
    async for some in read_journal(kafka, topic, partition, 0, await kafka.end(topic, partition)):
        for key, payload, _ in some:
            restore_part(state, key, payload)
    return state


async def _write_publications(file: IO[bytes], kafka: Log, settings: Settings, partition: int, end: int) -> int:
    """Write the header, and the publications before `end` just as they stand in the catalogue; return how many."""
    from livepromo.simulation.files import LOG_VERSION, LogHeader, PublicationLine, write_line  # noqa: PLC0415 - slow to import
    from livepromo.worker.publishing import PARTITION  # noqa: PLC0415

    write_line(file, LogHeader(LOG_VERSION, settings.events, partition))
    count = 0
    async for some in kafka.read(settings.topic("catalogue"), PARTITION, 0, end):
        for record in some:
            assert record.value is not None, f"the catalogue's record {record.offset} has no value"
            write_line(file, PublicationLine(record.offset, record.timestamp_ms, record.value.decode()))
        count += len(some)
    return count


class _Entries:
    """The control entries of a partition, to be written where they were taken."""

    def __init__(self, entries: Mapping[Position, ControlEntry]) -> None:
        self._waiting = sorted(entries.items(), key=itemgetter(0), reverse=True)

    def write_before(self, file: IO[bytes], offset: int | None) -> None:
        """Write those that were taken before the record at `offset`; None: all that are left."""
        from livepromo.simulation.files import EntryLine, write_line  # noqa: PLC0415 - slow to import

        while self._waiting and (offset is None or self._waiting[-1][0].offset <= offset):
            at, entry = self._waiting.pop()
            write_line(file, EntryLine(at.offset, at.step, entry))


def _write_records(file: IO[bytes], records: Sequence[LogRecord], entries: _Entries, whole: Whole | None) -> None:
    from livepromo.simulation.files import record_line, write_line  # noqa: PLC0415 - slow to import

    for record in records:
        entries.write_before(file, record.offset)
        value = record.value if whole is None else whole(record.value, record.headers)  # a log has no headers
        write_line(file, record_line(record.offset, record.timestamp_ms, value))
