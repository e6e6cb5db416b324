"""Users on their way from a file onto a list: memberships on the events topic, where everything about a user stands in one order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from livepromo.behaviour.decoding import EARLIEST_MS
from livepromo.ledger.codes import CodeProblem, lines_of, normalised
from livepromo.model.ids import UserId, partition_of
from livepromo.model.json_text import json_bytes
from livepromo.worker.ports import OutRecord

BATCH_USERS = 20_000
MOST_LINES = 20

Send = Callable[[Mapping[tuple[str, int], Sequence[OutRecord]]], Awaitable[None]]
"""Sends records to partitions; returns when all of them are there."""


class ImportedUsers:
    """What became of the lines of a file."""

    def __init__(self) -> None:
        self.added = 0  # users of whom a record says that they are on the list; who was on it before was not asked
        self.unchanged = 0  # users of whom none does, since they were on it
        self.removed = 0
        self.problems: Counter[CodeProblem] = Counter()
        self.lines: list[tuple[int, CodeProblem]] = []  # the first few

    @property
    def invalid(self) -> int:
        """How many lines hold no user."""
        return self.problems.total()

    def refuse(self, number: int, problem: CodeProblem) -> None:
        """Note a line that holds no user."""
        self.problems[problem] += 1
        if len(self.lines) < MOST_LINES:
            self.lines.append((number, problem))


class UserImport:
    """One import onto one list; `name` is `list/ID`. Twice is the same as once: memberships are states, not changes.

    With `members`, who is on the list now, those of them who are not in the file are removed, when the whole file has been read and has
    any user; and of those who stay nothing is written.
    """

    def __init__(self, send: Send, topic: str, partitions: int, name: str, members: Iterable[UserId] | None = None) -> None:
        self._send, self._topic, self._partitions = send, topic, partitions
        # A membership counts from where it stands, whatever its time. The earliest time that there is moves no stream time on: else an
        # import would close windows under events that are still on their way.
        self._tail = b',"ts":%d,"segment":%b,"member":' % (EARLIEST_MS, json_bytes(name))
        self._in_file = None if members is None else dict.fromkeys(members, False)
        self._waiting: dict[tuple[str, int], list[OutRecord]] = {}
        self._count = 0
        self.imported = ImportedUsers()

    async def run(self, lines: Iterable[bytes]) -> ImportedUsers:
        """Import the users of a file's lines, and return what became of them when all records are in the topic.

        Raises UnavailableError, and what `lines` raises: some may be on the list by then; run it again.
        """
        imported, in_file = self.imported, self._in_file
        for number, line in enumerate(lines_of(lines), 1):
            user = normalised(line)
            if isinstance(user, CodeProblem):
                imported.refuse(number, user)
            elif in_file is not None and user in in_file:
                if not in_file[UserId(user)]:
                    in_file[UserId(user)] = True
                    imported.unchanged += 1
            else:
                await self._write(user, member=True)
                imported.added += 1
        if imported.added or imported.unchanged:
            for gone in [user for user, stays in (in_file or {}).items() if not stays]:
                await self._write(gone, member=False)
                imported.removed += 1
        await self._flush()
        return imported

    async def _write(self, user: str, *, member: bool) -> None:
        where = self._topic, partition_of(user, self._partitions)
        value = b'{"type":"segment","user":%b%b%b}' % (json_bytes(user), self._tail, b"true" if member else b"false")
        self._waiting.setdefault(where, []).append((user.encode(), value, ()))
        self._count += 1
        if self._count >= BATCH_USERS:
            await self._flush()

    async def _flush(self) -> None:
        waiting, self._waiting, self._count = self._waiting, {}, 0
        if waiting:
            await self._send(waiting)
