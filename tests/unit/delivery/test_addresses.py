"""Where calls may not go: by the text of a URL, and by what a name is an address of."""

from __future__ import annotations

import socket

import pytest

from livepromo.delivery.addresses import BlockedError, Resolver, checked_url, guarded_socket, refused

REFUSED = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "0.0.0.0": "this network",  # noqa: S104 - not bound to
    "0.1.2.3": "this network",
    "10.0.0.1": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "169.254.1.1": "link-local",
    "169.254.169.254": "metadata",
    "168.63.129.16": "metadata",
    "100.100.100.200": "metadata",
    "192.0.0.192": "metadata",
    "100.64.0.1": "shared with a carrier",
    "100.127.255.255": "shared with a carrier",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "192.0.2.1": "reserved",
    "198.18.0.1": "reserved",
    "198.51.100.1": "reserved",
    "203.0.113.1": "reserved",
    "192.88.99.1": "reserved",
    "::": "an embedded address",
    "::1": "loopback",
    "::7f00:1": "an embedded address",
    "::ffff:127.0.0.1": "a mapped address",
    "::ffff:8.8.8.8": "a mapped address",
    "::ffff:0:127.0.0.1": "reserved",
    "64:ff9b::127.0.0.1": "loopback",
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b::169.254.169.254": "metadata",
    "64:ff9b:1::8.8.8.8": "an embedded address",
    "2002:7f00:1::": "an embedded address",
    "2002:808:808::1": "an embedded address",
    "2001:0:7f00:1::": "reserved",
    "2a00:1450::5efe:10.0.0.1": "an embedded address",
    "2a00:1450::200:5efe:10.0.0.1": "an embedded address",
    "fd00:ec2::254": "metadata",
    "fd20:ce::254": "metadata",
    "fc00::1": "private",
    "fd12::1": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "2a00:1450::1%eth0": "link-local",
    "fec0::1": "private",
    "ff02::1": "multicast",
    "2001:db8::1": "reserved",
    "3fff::1": "reserved",
    "100::1": "reserved",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "0177.0.0.1": "no address",
    "127.1": "no address",
    "2130706433": "no address",
    "0x7f000001": "no address",
    "localhost": "no address",
    "": "no address",
}


@pytest.mark.parametrize(("address", "what"), REFUSED.items(), ids=[name or "empty" for name in REFUSED])
def test_no_call_goes_to(address: str, what: str) -> None:
    assert refused(address) == what


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:2800:220:1::1", "64:ff9b::8.8.8.8"])
def test_calls_go_to_public_addresses(address: str) -> None:
    assert refused(address) is None


def test_where_loopback_is_allowed_nothing_else_is() -> None:
    allowed = {address for address in REFUSED if refused(address, loopback=True) is None}
    assert allowed == {"127.0.0.1", "127.255.255.254", "::1"}


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://example.org/", "http is not allowed"),
        ("file:///etc/passwd", "odd scheme"),
        ("gopher://example.org/", "odd scheme"),
        ("ftp://example.org/", "odd scheme"),
        ("//example.org/", "odd scheme"),
        ("https://user:password@example.org/", "userinfo"),
        ("https://user@example.org/", "userinfo"),
        ("https://@example.org/", "userinfo"),
        ("https://example.org@127.0.0.1/", "userinfo"),
        ("https://:443/", "no url"),
        ("https://", "no url"),
        ("https://example.org:22/", "odd port"),
        ("https://example.org:6379/", "odd port"),
        ("https://example.org:0/", "odd port"),
        ("https://example.org:99999/", "no url"),
        ("https://127.0.0.1/", "loopback"),
        ("https://127.0.0.1./", "no address"),
        ("https://[::1]/", "loopback"),
        ("https://[::ffff:127.0.0.1]/", "a mapped address"),
        ("https://[fe80::1%25eth0]/", "link-local"),
        ("https://2130706433/", "no address"),
        ("https://0x7f000001/", "no address"),
        ("https://0x7f.1/", "no address"),
        ("https://127.1/", "no address"),
        ("https://017700000001/", "no address"),
        ("https://0177.0.0.1/", "no address"),
        ("https://127.0.0.0x1/", "no address"),
        ("https://example.0/", "no address"),
        ("https://exa mple.org/", "no url"),
        ("https://example.org\\@127.0.0.1/", "no url"),
        ("https://ex%61mple.org/", "odd host"),
        ("https://-example.org/", "odd host"),
        ("https://example..org/", "odd host"),
        ("https://\uff11\uff12\uff17.0.0.1/", "no url"),
        ("https://example\u3002org/", "no url"),
        ("https://" + "a." * 130 + "org/", "odd host"),
    ],
    ids=lambda text: text[:40].encode("ascii", "replace").decode(),
)
def test_a_url_that_leads_elsewhere_is_refused_before_anything_is_looked_up(url: str, what: str) -> None:
    with pytest.raises(BlockedError) as refusal:
        checked_url(url, allow_http=False)
    assert str(refusal.value) == what


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "https://example.org:8443/a?b=c%20d",
        "https://8.8.8.8/",
        "https://[2606:2800::1]/",
        "https://a_b.example.org./",
    ],
)
def test_an_ordinary_url_is_taken_as_it_is_written(url: str) -> None:
    assert str(checked_url(url, allow_http=False)).rstrip("/") == url.rstrip("/")


def test_where_http_is_allowed_this_machine_may_be_called_but_no_other_inside() -> None:
    for url in ("http://127.0.0.1:8080/", "http://localhost/", "https://[::1]/", "http://example.org/"):
        assert str(checked_url(url, allow_http=True)) == url
    for url in ("http://10.0.0.1/", "http://169.254.169.254/", "http://2130706433/", "http://[::ffff:127.0.0.1]/", "http://u@127.0.0.1/"):
        with pytest.raises(BlockedError):
            checked_url(url, allow_http=True)


def answering(*addresses: str) -> Resolver:
    async def look_up(_: str, port: int) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    return Resolver(look_up=look_up)


async def test_a_name_is_refused_where_any_of_its_addresses_is() -> None:
    with pytest.raises(BlockedError, match="private"):
        await answering("8.8.8.8", "10.0.0.1").resolve("example.org", 443)


async def test_the_addresses_that_were_checked_are_those_that_are_handed_on() -> None:
    found = await answering("8.8.8.8", "2606:2800::1").resolve("example.org", 443)
    assert [(one["host"], one["port"], one["hostname"]) for one in found] == [
        ("8.8.8.8", 443, "example.org"),
        ("2606:2800::1", 443, "example.org"),
    ]
    assert all(one["flags"] & socket.AI_NUMERICHOST for one in found)


async def test_a_name_without_addresses_is_said_to_have_none() -> None:
    with pytest.raises(OSError, match="no address"):
        await answering().resolve("example.org", 443)


def test_no_socket_is_made_for_a_refused_address_whoever_asks() -> None:
    with pytest.raises(BlockedError, match="metadata"):
        guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80)), loopback=True)
