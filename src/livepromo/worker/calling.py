"""The calls of a worker process: one dispatcher for all its partitions, and the endpoints as they are published now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from livepromo.delivery.calling import Caller
from livepromo.delivery.dispatching import Dispatcher
from livepromo.documents.catalogue import Catalogue
from livepromo.model.documents import Endpoint
from livepromo.settings import Settings, SettingsError
from livepromo.worker.calls import CallBook, PartitionCalls
from livepromo.worker.shared import Shared, log


class Calling:
    """What the partitions of a process share to make calls. Whatever breaks it ends the process, by `end`."""

    def __init__(self, shared: Shared, settings: Settings, end: Callable[[BaseException], object]) -> None:
        self._shared, self._end = shared, end
        self._caller = Caller(settings.secrets, allow_http=settings.allow_http)
        self._book = CallBook()
        self._dispatcher = Dispatcher(self._caller.call, self._book, shared.metrics)
        self._position = -1
        self._known: dict[str, Endpoint] = {}
        self._watching = asyncio.create_task(self._dispatcher.broken(), name="calls")
        self._watching.add_done_callback(self._broken)

    def partition(self, number: int, may_begin: Callable[[], bool]) -> PartitionCalls:
        """Return the calls of a partition that this process takes over; `may_begin`: whether it owns the partition now."""
        calls = self._book.partitions[number] = PartitionCalls(number, self._shared, self._dispatcher, may_begin=may_begin, end=self._end)
        return calls

    def know(self, catalogue: Catalogue) -> None:
        """Call endpoints as they are published in the newest catalogue."""
        if catalogue.position == self._position:
            return
        self._position = catalogue.position
        for entry in catalogue.entries.values():
            endpoint = entry.document
            if not isinstance(endpoint, Endpoint) or self._known.get(endpoint.id) == endpoint:
                continue
            self._known[endpoint.id] = endpoint
            try:
                self._caller.check(endpoint)
            except SettingsError as error:
                log.error("calls to %s will fail: %s", endpoint.id, error)
            self._dispatcher.know(endpoint)

    def report(self) -> None:
        """Set the gauges."""
        self._dispatcher.report()

    async def close(self) -> None:
        """Make no more calls."""
        self._watching.cancel()
        await self._dispatcher.close()
        await self._caller.close()

    def _broken(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(error)
