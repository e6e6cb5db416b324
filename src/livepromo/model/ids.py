"""Who and what is meant: identifiers, and the one that is computed."""

from __future__ import annotations

import hashlib
from typing import NewType

import msgspec

UserId = NewType("UserId", str)
CampaignId = NewType("CampaignId", str)
GrantId = NewType("GrantId", str)

_encode = msgspec.msgpack.Encoder().encode


def hash_of(*parts: str | int | None, size: int = 16) -> bytes:
    """Return `size` bytes that name `parts`; length-prefixed, so that no two lists of parts run into one another."""
    return hashlib.blake2b(_encode(parts), digest_size=size).digest()


def sampled(campaign: CampaignId, user: UserId, percent_milli: int) -> bool:
    """Say whether `user` is in the campaign's sample of `percent_milli` thousandths of a percent.

    A function of campaign and user alone, so always the same users, and those of 5 percent are among those of 10.
    """
    return int.from_bytes(hash_of("sample", campaign, user, size=8), "big") % 100_000 < percent_milli


_MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Return Kafka's hash of a key (Austin Appleby's MurmurHash2, 32 bit, seed 0x9747b28c), sign bit cleared."""
    length = len(key)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * 0x5BD1E995 & _MASK
        k = (k ^ k >> 24) * 0x5BD1E995 & _MASK
        h = h * 0x5BD1E995 & _MASK ^ k
    if whole < length:
        h = (h ^ int.from_bytes(key[whole:], "little")) * 0x5BD1E995 & _MASK
    h = (h ^ h >> 13) * 0x5BD1E995 & _MASK
    return (h ^ h >> 15) & 0x7FFFFFFF


def partition_of(key: str, partitions: int) -> int:
    """Return the partition in which Kafka's default partitioner puts a key."""
    return murmur2(key.encode()) % partitions
