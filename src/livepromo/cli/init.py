"""`livepromo init`: the topics that are missing are made, the others are looked at."""

from __future__ import annotations

from livepromo.cli.errors import UnfitError
from livepromo.cli.output import say
from livepromo.settings import load
from livepromo.worker.topics import make, misfit


async def init(*, dry_run: bool = False) -> None:
    """Make the topics that are missing, check the settings of those that are there, and say what was done.

    Topics that are there are never changed. Run it again at any time.

    Example: `livepromo init --dry-run`

    Args:
        dry_run: Only say what would be done.
    """
    reports = await make(load(), dry_run=dry_run)
    for report in reports:
        if report.created:
            say(f"{report.name}: {'would be made' if dry_run else 'made'}")
        elif not report.differences:
            say(f"{report.name}: there, as it should be")
    wrong = [misfit(report) for report in reports if report.differences]
    for line in wrong[:-1]:
        say(line)
    if wrong:
        raise UnfitError(wrong[-1])
