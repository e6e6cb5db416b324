"""Where Redis is and who we are to it: one server, behind sentinels, or a cluster."""

from __future__ import annotations

from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

_PORT = 6379


class Tls(msgspec.Struct, frozen=True):
    """Files of certificates, empty where there is none; `ca` empty: what the machine trusts."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


class RedisAddress(msgspec.Struct, frozen=True, kw_only=True):
    """All that a client is made of. `hosts` are the server's, the sentinels', or some nodes' of a cluster. Its `repr` shows no secret."""

    hosts: tuple[tuple[str, int], ...]
    mode: Literal["single", "sentinel", "cluster"] = "single"
    database: int = 0
    master: str = ""
    user: str = ""
    password: str = ""
    sentinel_user: str = ""
    sentinel_password: str = ""
    tls: Tls | None = None

    def __repr__(self) -> str:
        return f"RedisAddress({self.mode}, {','.join(f'{host}:{port}' for host, port in self.hosts)}, {self.user!r})"

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Return the address that a URL is, `redis[s]://[user:password@]host[:port],…/database`. Raises ValueError."""
        whole = urlsplit(url)
        who, _, hosts = whole.netloc.rpartition("@")
        user, _, password = who.partition(":")
        found = [urlsplit(f"//{host}") for host in hosts.split(",")]
        if whole.scheme not in {"redis", "rediss"} or not all(one.hostname for one in found):
            raise ValueError("an address of redis is redis://host:port/database, or begins with rediss://")
        return cls(
            hosts=tuple((one.hostname or "", one.port or _PORT) for one in found),
            database=int(whole.path.strip("/") or 0),
            user=unquote(user),
            password=unquote(password),
            tls=Tls() if whole.scheme == "rediss" else None,
        )
