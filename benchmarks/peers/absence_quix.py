"""Absence with Quix Streams: what is open, and which is due in which second, in the state of the partition's key.

Its timers run when a key comes again, so the events are keyed by partition; with a key a user, who does not come back is never looked at.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from quixstreams import Application


def main(task: dict[str, Any]) -> None:  # noqa: C901 - one function for every event
    """Read every event, and end."""
    app = Application(
        broker_address=task["bootstrap"],
        consumer_group=task["name"],
        auto_offset_reset="earliest",
        state_dir=task["home"],
        loglevel="ERROR",
    )
    topic = app.topic(task["topic"], value_deserializer="json")
    fired: list[str] = []
    began: list[float] = []
    read = 0

    def watch(event: dict[str, Any], state: Any) -> None:
        nonlocal read
        second, last = event["ts"] // 1000, state.get("second")
        for passed in range(second if last is None else last, second):
            for name in state.get(f"due {passed}", []):
                window = state.get(name)
                if window is not None and window[0] // 1000 == passed:
                    fired.append(window[1])
                    state.delete(name)
            state.delete(f"due {passed}")
        if last != second:
            state.set("second", second)
        name = f"{event['user']}/{event['properties']['Product ID']}"
        if event["event"] == "Added To Cart":
            if state.get(name) is None:
                due_ms = event["ts"] + task["open_ms"]
                state.set(name, [due_ms, event["id"], event["properties"]])
                due = f"due {due_ms // 1000}"
                state.set(due, [*state.get(due, []), name])
        elif event["event"] == "Charged" and state.get(name) is not None:
            state.delete(name)
        read += 1
        if read == task["first"]:
            began.append(time.process_time())
        if read == task["count"]:
            Path(task["result"]).write_text(json.dumps({"cpu_s": time.process_time() - began[0], "fired": fired}))
            os._exit(0)

    app.dataframe(topic).update(watch, stateful=True)
    app.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
