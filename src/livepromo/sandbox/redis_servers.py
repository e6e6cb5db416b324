"""Several Redis servers that take over from one another: behind sentinels, and as a Redis Cluster; on the loopback address."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from livepromo.sandbox.servers import RedisServer, ServerError, free_ports, wait_until

_SLOTS: Final = 16_384
_DOWN_AFTER_MS: Final = 1_000


class RedisSentinels:
    """A primary, a replica, and three sentinels that put the replica in its place when it is gone; `master` is what they call it."""

    master = "mymaster"

    def __init__(self, home: Path, options: Mapping[str, str] | None = None, sentinel_options: Mapping[str, str] | None = None) -> None:
        self.servers = [RedisServer(home / f"redis-{n}", options) for n in range(2)]
        self.sentinels = [_Sentinel(home / f"sentinel-{n}", self, sentinel_options) for n in range(3)]

    @property
    def url(self) -> str:
        """The addresses of the sentinels, as livepromo takes them."""
        return f"redis://{','.join(f'127.0.0.1:{one.port}' for one in self.sentinels)}/0"

    def start(self) -> RedisSentinels:
        """Start all and wait until the sentinels know one another and the replica. Raises ServerError."""
        first, second = self.servers
        first.start()
        second.options["replicaof"] = f"127.0.0.1 {first.port}"
        second.start()
        wait_until(lambda: b"master_link_status:up" in second.say("INFO replication"), 20, lambda: "the replica has no link")
        for sentinel in self.sentinels:
            sentinel.start()
        wait_until(
            lambda: all(b"slaves=1,sentinels=3" in one.say("INFO sentinel") for one in self.sentinels), 20, lambda: "no three sentinels"
        )
        return self

    def stop(self) -> None:
        """End them."""
        for server in (*self.sentinels, *self.servers):
            server.stop()


class _Sentinel(RedisServer):
    def __init__(self, home: Path, of: RedisSentinels, options: Mapping[str, str] | None) -> None:
        super().__init__(home, options)
        self._of, self._more = of, dict(options or {})

    def start(self) -> RedisServer:
        self.home.mkdir(parents=True, exist_ok=True)
        name, conf = self._of.master, self.home / "sentinel.conf"
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.home}",
            f"sentinel monitor {name} 127.0.0.1 {self._of.servers[0].port} 2",
            f"sentinel down-after-milliseconds {name} {_DOWN_AFTER_MS}",
            f"sentinel failover-timeout {name} 5000",
            *([f"sentinel auth-pass {name} {password}"] if (password := self._of.servers[0].options.get("requirepass")) else []),
            *(f"{key} {value}" for key, value in self._more.items()),
        ]
        conf.write_text("\n".join(lines) + "\n")
        return self.serve([self.binary, str(conf), "--sentinel"])


class RedisNodes:
    """A Redis Cluster of three primaries, each with a replica that takes its place when it is gone."""

    def __init__(self, home: Path) -> None:
        # The port by which nodes know one another would be 10,000 above: where any client of this machine may get its own.
        self._buses = free_ports(6)
        options = {"cluster-enabled": "yes", "cluster-node-timeout": "1000", "maxmemory-policy": "noeviction"}
        self.servers = [RedisServer(home / f"node-{n}", options | {"cluster-port": str(bus)}) for n, bus in enumerate(self._buses)]

    @property
    def url(self) -> str:
        """The addresses of some nodes, as livepromo takes them."""
        return f"redis://{','.join(f'127.0.0.1:{one.port}' for one in self.servers[::2])}/0"

    def start(self) -> RedisNodes:
        """Start all, give each primary a third of the slots and a replica, and wait until every node says that all is well."""
        for number, server in enumerate(self.servers):
            server.start()
            server.say(f"CLUSTER SET-CONFIG-EPOCH {number + 1}")
        bounds = [round(_SLOTS * n / 3) for n in range(4)]
        for server, (begin, end) in zip(self.servers, pairwise(bounds), strict=False):
            server.say(f"CLUSTER ADDSLOTSRANGE {begin} {end - 1}")
        for server in self.servers[1:]:
            server.say(f"CLUSTER MEET 127.0.0.1 {self.servers[0].port} {self._buses[0]}")
        ids = [server.say("CLUSTER MYID").split()[1].decode() for server in self.servers]
        for replica, primary in zip(self.servers[3:], ids, strict=False):
            wait_until(
                lambda replica=replica, primary=primary: replica.say(f"CLUSTER REPLICATE {primary}").startswith(b"+OK"),  # type: ignore[misc]
                20,
                lambda: "a node does not hear of its primary",
            )
        wait_until(self._well, 30, lambda: "the cluster is not well")
        return self

    def _well(self) -> bool:
        return all(
            b"cluster_state:ok" in server.say("CLUSTER INFO") and server.say("CLUSTER NODES").count(b" connected") == len(self.servers)
            for server in self.servers
        ) and all(b"master_link_status:up" in server.say("INFO replication") for server in self.servers[3:])

    def primary_of(self, key: str) -> RedisServer:
        """Return the server that has a key now, among those that run. Raises ServerError."""
        for server in self.servers:
            with contextlib.suppress(OSError):
                said = server.say(f"GET {key}") if server.runs and server.died is None else b"-"
                if not said.startswith(b"-") and b"role:master" in server.say("INFO replication"):
                    return server
        raise ServerError(f"no node has {key}")

    def stop(self) -> None:
        """End them."""
        for server in self.servers:
            server.stop()
