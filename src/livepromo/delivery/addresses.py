"""Where calls may go: out into the world, never to this machine, its network, or the one that tells the cloud's secrets."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

AddrInfo = tuple[Any, ...]
LookUp = Callable[[str, int], Awaitable[Sequence[AddrInfo]]]

_REFUSED_4: Final = [
    (ip_network(network), what)
    for network, what in (
        ("127.0.0.0/8", "loopback"),
        ("169.254.169.254/32", "metadata"),
        ("168.63.129.16/32", "metadata"),  # Azure's, in the middle of public addresses
        ("100.100.100.200/32", "metadata"),  # Alibaba's
        ("192.0.0.192/32", "metadata"),  # Oracle's
        ("169.254.0.0/16", "link-local"),
        ("100.64.0.0/10", "shared with a carrier"),
        ("10.0.0.0/8", "private"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("224.0.0.0/4", "multicast"),
        ("0.0.0.0/8", "this network"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("198.18.0.0/15", "reserved"),
        ("198.51.100.0/24", "reserved"),
        ("203.0.113.0/24", "reserved"),
        ("240.0.0.0/4", "reserved"),
    )
]
_REFUSED_6: Final = [
    (ip_network(network), what)
    for network, what in (
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "a mapped address"),
        ("::/96", "an embedded address"),
        ("64:ff9b:1::/48", "an embedded address"),
        ("2002::/16", "an embedded address"),  # 6to4
        ("fd00:ec2::254/128", "metadata"),  # Amazon's
        ("fd20:ce::254/128", "metadata"),  # Google's
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # Teredo and others
        ("2001:db8::/32", "reserved"),
        ("3fff::/20", "reserved"),
    )
]
_NAT64: Final = ip_network("64:ff9b::/96")
_GLOBAL_6: Final = ip_network("2000::/3")  # all that was ever given out
_ISATAP: Final = (0x00005EFE, 0x02005EFE)
_LAST_32: Final = 0xFFFFFFFF

# Where other protocols listen (the bad ports of the Fetch standard, and data stores): a call is no way to talk to those.
_ODD_PORTS: Final = frozenset({
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115, 117,
    119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601,
    636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 2181, 2375, 2379, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 6000, 6379, 6566,
    6665, 6666, 6667, 6668, 6669, 6679, 6697, 9092, 9200, 10080, 10250, 11211, 27017,
})  # fmt: skip
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?", re.ASCII | re.IGNORECASE)
_ENDS_IN_A_NUMBER = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)\.?$", re.ASCII | re.IGNORECASE)
_LONGEST_NAME = 253
_LOOK_UPS = 32


class BlockedError(Exception):
    """A call may not go there; the message says why, and names no address and no more of the URL than that."""


def refused(address: str, *, loopback: bool = False) -> str | None:
    """Return what kind of address this is where no call may go there, else None; `loopback`: this machine itself is allowed.

    What is no plain IPv4 or IPv6 address (a zone behind it, octal digits) is refused. Addresses that carry another are, too, except
    those of NAT64, by which name servers of IPv6 networks answer: there the one inside counts.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return "no address"
    if isinstance(ip, IPv6Address):
        return _refused_6(ip, loopback=loopback)
    return _refused_4(ip, loopback=loopback)


def _refused_4(ip: IPv4Address, *, loopback: bool) -> str | None:
    if loopback and ip.is_loopback:
        return None
    for network, what in _REFUSED_4:
        if ip in network:
            return what
    return None if ip.is_global else "reserved"


def _refused_6(ip: IPv6Address, *, loopback: bool) -> str | None:
    if ip.scope_id is not None:
        return "link-local"
    if loopback and ip.is_loopback:
        return None
    if ip in _NAT64:
        return _refused_4(IPv4Address(int(ip) & _LAST_32), loopback=False)
    for network, what in _REFUSED_6:
        if ip in network:
            return what
    if int(ip) >> 32 & _LAST_32 in _ISATAP:
        return "an embedded address"
    return None if ip in _GLOBAL_6 and ip.is_global else "reserved"


def checked_url(text: str, *, allow_http: bool) -> URL:
    """Return a URL that a call may be made to, as far as its text tells; names are looked up later. Raises BlockedError.

    Host and port are taken from the value that is returned and connected to, never from a second reading of the text. A host is a
    name or an address as it is usually written: numbers in other forms (2130706433, 0x7f.1, 0177.0.0.1) are refused.
    """
    try:
        url = URL(text, encoded=True)
        host, port, user = url.raw_host, url.port, url.raw_user
    except ValueError:
        raise BlockedError("no url") from None
    if url.scheme != "https" and not (allow_http and url.scheme == "http"):
        raise BlockedError("http is not allowed" if url.scheme == "http" else "odd scheme")
    if user is not None or "@" in url.raw_authority:
        raise BlockedError("userinfo")
    if not host or "\\" in text or not text.isascii() or not text.isprintable() or " " in text:
        raise BlockedError("no url")
    if port is None or port == 0 or port in _ODD_PORTS:
        raise BlockedError("odd port")
    if ":" in host or _ENDS_IN_A_NUMBER.search(host):
        what = refused(host, loopback=allow_http)
        if what is not None:
            raise BlockedError(what)
    elif len(host) > _LONGEST_NAME or not _NAME.fullmatch(host):
        raise BlockedError("odd host")
    return url


class Resolver(AbstractResolver):
    """Looks names up and gives no address out that is not allowed: where one of a name's is refused, all are.

    What it returns is what is connected to: there is no second look-up that could be answered otherwise.
    """

    def __init__(self, *, loopback: bool = False, look_up: LookUp | None = None) -> None:
        self._loopback = loopback
        self._look_up = self._ask_system if look_up is None else look_up
        # Of its own: name servers that do not answer must not hold up who looks for Kafka. A name is looked up once at a time.
        self._threads = ThreadPoolExecutor(_LOOK_UPS, "look-up")

    async def _ask_system(self, host: str, port: int) -> Sequence[AddrInfo]:
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """Return the addresses of a host, as aiohttp wants them. Raises BlockedError; OSError where there are none."""
        found: list[ResolveResult] = []
        for kind, _, proto, _, place in await self._look_up(host, port):
            if kind not in {socket.AF_INET, socket.AF_INET6} or family not in {socket.AF_UNSPEC, kind}:
                continue
            address = str(place[0])
            what = "link-local" if kind == socket.AF_INET6 and place[3] else refused(address, loopback=self._loopback)
            if what is not None:
                raise BlockedError(what)
            flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            found.append(ResolveResult(hostname=host, host=address, port=int(place[1]), family=kind, proto=proto, flags=flags))
        if not found:
            raise OSError("the name has no address")
        return found

    async def close(self) -> None:
        """Look nothing up any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def guarded_socket(info: AddrInfo, *, loopback: bool) -> socket.socket:
    """Return the socket for an address, checked once more where nothing can come between: it is the one connected to.

    Raises BlockedError.
    """
    family, kind, proto, _, place = info
    what = refused(str(place[0]), loopback=loopback)
    if what is not None:
        raise BlockedError(what)
    made = socket.socket(family, kind, proto)
    made.setblocking(False)
    return made
