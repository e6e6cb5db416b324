"""Absence as a plain Faust agent does it: open windows in a table, and a heap beside it that says which are due."""

from __future__ import annotations

import json
import os
import sys
import time
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import faust
import orjson


def main(task: dict[str, Any]) -> None:
    """Read every event, and end."""
    app = faust.App(
        task["name"],
        broker=f"kafka://{task['bootstrap']}",
        store="memory://",
        topic_partitions=task["partitions"],
        topic_replication_factor=1,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        datadir=task["home"],
    )
    events = app.topic(task["topic"], value_serializer="raw", key_serializer="raw")
    windows = app.Table("windows", partitions=task["partitions"], key_type=str, value_type=list)
    heaps: dict[int, list[tuple[int, str]]] = {}
    fired: list[str] = []
    began: list[float] = []
    read = 0

    async def watch(stream: Any) -> None:
        nonlocal read
        async for found in stream.events():
            event, heap = orjson.loads(found.value), heaps.setdefault(found.message.partition, [])
            now_ms = event["ts"]
            while heap and heap[0][0] < now_ms:
                due_ms, key = heappop(heap)
                window = windows.get(key)
                if window is not None and window[0] == due_ms:
                    fired.append(window[1])
                    del windows[key]
            key = f"{event['user']}/{event['properties']['Product ID']}"
            if event["event"] == "Added To Cart":
                if key not in windows:
                    due_ms = now_ms + task["open_ms"]
                    windows[key] = [due_ms, event["id"], event["properties"]]
                    heappush(heap, (due_ms, key))
            elif event["event"] == "Charged" and key in windows:
                del windows[key]
            read += 1
            if read == task["first"]:
                began.append(time.process_time())
            if read == task["count"]:
                result = {"cpu_s": time.process_time() - began[0], "fired": fired}
                Path(task["result"]).write_text(json.dumps(result))  # noqa: ASYNC240 - the last thing it does
                os._exit(0)

    app.agent(events)(watch)
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main(json.loads(sys.argv.pop(1)))
