"""What it costs to put 2,000,000 users on a list, and to replace them by half of them: `livepromo users import`.

`python -m benchmarks.users`; see `--help`. Nothing counts unless the events topic says of every user what the file says.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.running import Installation, machine, say, servers, written

LIST = "kind: list\nid: vip\n"


def main() -> int:
    """Import, replace, and print what that cost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.users", description=__doc__)
    parser.add_argument("--users", type=int, default=2_000_000)
    parser.add_argument("--json", type=Path, help="write the result there")
    asked = parser.parse_args()
    with servers() as both, tempfile.TemporaryDirectory(prefix="livepromo-bench-") as home:
        installation = Installation(both, "users", "users.events")
        try:
            installation.apply(LIST)
            files = {"import": asked.users, "replace": asked.users // 2}
            costs: dict[str, dict[str, float]] = {}
            for name, count in files.items():
                file = Path(home) / f"{name}.txt"
                file.write_text("".join(f"customer-{number:09d}\n" for number in range(count)))
                words = ["users", "import", "list/vip", str(file), *(["--replace"] if name == "replace" else [])]
                before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
                say(installation.cli(*words).strip())
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                costs[name] = {
                    "cpu_s": round(cpu_s, 2),
                    "us_per_user": round(cpu_s / asked.users * 1e6, 2),
                    "wall_s": round(time.monotonic() - started, 2),
                }
            on_list: dict[str, bool] = {}
            for key, value in both.client.read(installation.events):
                said = json.loads(value or b"")
                assert (key or b"").decode() == said["user"], said
                on_list[said["user"]] = said["member"]
            assert len(on_list) == asked.users, len(on_list)
            assert sum(on_list.values()) == files["replace"], sum(on_list.values())
        finally:
            installation.close()
        result = {"users": asked.users, **costs, "machine": machine(both)}
    print(json.dumps(result))
    if asked.json is not None:
        written(result, asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
