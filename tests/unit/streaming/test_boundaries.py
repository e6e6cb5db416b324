"""What only one place may do is done in that place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import livepromo

SOURCE = Path(livepromo.__file__).parent
NAMES = "fetcher coordinator txn_manager subscription records partition_records assignment wait_consume_future message_accumulator sender"
PRIVATE = rf"_(?:{NAMES.replace(' ', '|')})\b"


@pytest.mark.parametrize(
    ("what", "allowed"),
    [
        (r"AIOKafkaConsumer\(", {"streaming/feed.py", "streaming/kafka_log.py"}),
        (r"AIOKafkaProducer\(", {"streaming/producer.py", "streaming/kafka_log.py"}),
        (r"AIOKafkaAdminClient\(", {"streaming/topics.py"}),
        (r"(?<!class )\bConnection\((?!\{)", {"worker/connecting.py"}),  # so that every client is one of the settings
        (r"(?<!class )\bRedisAddress\((?!\{)", {"worker/connecting.py"}),
        (r"redis\.asyncio\.\w+\(|\bSentinel\(", {"ledger/redis_connecting.py"}),
        (r"\b(?!self\b)\w+\." + PRIVATE, {"streaming/private_names.py"}),
        (r"\.pause\((?!self\b)\w*partition|pause_partitions", set()),  # a paused partition loses what was fetched of it
        (
            r"^(?:from|import) aiokafka",
            {
                f"streaming/{name}.py"
                for name in ("columns", "connecting", "feed", "groups", "kafka_log", "private_names", "producer", "topics")
            },
        ),
    ],
)
def test_nobody_else_does_it(what: str, allowed: set[str]) -> None:
    found = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py") if re.search(what, path.read_text(), re.MULTILINE)}
    assert found - allowed == set()
    assert allowed <= found, f"{what} matches nothing where it should"
