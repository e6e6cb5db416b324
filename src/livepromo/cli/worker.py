"""`livepromo worker`: the stages against real Kafka and Redis."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


def worker(*, stages: Annotated[str, Parameter(name="--stages")] = "match,decide,deliver", log_level: str = "INFO") -> int:
    """Run a worker: start as many as there are cores and machines, they share the work.

    It takes records from the events topic, decides within every limit, and publishes grants to `reward-granted`. SIGTERM or Ctrl-C
    ends it cleanly; killed, whoever takes over goes on where it stood. Settings are environment variables (`LIVEPROMO_KAFKA`, …).

    Example: `LIVEPROMO_KAFKA=kafka:9092 LIVEPROMO_REDIS=redis://redis:6379/0 livepromo worker --stages match,decide`

    Args:
        stages: Which of match (events → candidates), decide (candidates → ledger) and deliver (ledger → reward-granted) it does.
        log_level: DEBUG, INFO, WARNING or ERROR.
    """
    from livepromo.settings import SettingsError, load  # noqa: PLC0415
    from livepromo.telemetry.logging import configure  # noqa: PLC0415
    from livepromo.worker.app import STAGES, Worker  # noqa: PLC0415

    wanted = [name.strip() for name in stages.split(",")]
    chosen = [name for name in STAGES if name in wanted]
    if len(chosen) != len(wanted):
        raise SettingsError(f'--stages is "{stages}": some of {", ".join(STAGES)}, with commas between them')
    settings = load()
    configure(log_level)
    Worker(settings, chosen).run()
