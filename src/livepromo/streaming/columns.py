"""Fetched records as slices of columns: a fifth of the time that an object per record costs."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError

from livepromo.streaming import private_names
from livepromo.streaming.offsets import Partition, Slice


async def fetch(
    consumer: AIOKafkaConsumer, partitions: Sequence[Partition], *, records: int, timeout_s: float, as_columns: bool = True
) -> list[Slice]:
    """Return what the consumer has of these partitions, about `records` each, in order; empty if nothing comes in time.

    Each partition must have a position (`seek`). Every slice begins where the one before it ended, whatever lies between: what was
    fetched and is not returned by this call is returned by the next. A partition that is not assigned any more yields nothing.
    Unless `as_columns`, and with an aiokafka that was not tried, only public names are used; the slices are the same, at 1.7 µs a
    record more.

    Raises:
        KafkaError: an error of one of the partitions, of the group, or of the fetching; once.
    """
    if as_columns and private_names.columns_are_supported():
        await private_names.wait_for_records(consumer, partitions, timeout_s)
        return private_names.drain(consumer, partitions, records)
    return await _fetch_rows(consumer, partitions, records, timeout_s)


async def _fetch_rows(consumer: AIOKafkaConsumer, partitions: Sequence[Partition], records: int, timeout_s: float) -> list[Slice]:
    wanted = [TopicPartition(*partition) for partition in partitions]
    try:
        before = {tp: await consumer.position(tp) for tp in wanted}
        rows = await consumer.getmany(*wanted, timeout_ms=int(timeout_s * 1000), max_records=records * len(wanted))
        slices = []
        for tp in wanted:
            after = await consumer.position(tp)
            if after > before[tp]:  # also where only transaction markers lie, which no row shows
                slices.append(private_names.from_rows(Partition(*tp), before[tp], after, rows.get(tp, []), consumer.highwater(tp)))
    except IllegalStateError:  # not assigned any more: whoever owns the partition now fetches it again
        return []
    return slices
