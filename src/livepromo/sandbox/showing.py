"""What `livepromo dev` shows: grants, a line each, on standard output; everything else on standard error; colours on a terminal alone."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.text import Text

from livepromo.sandbox.tally import GrantSaid, amount_text

_WHO = 12
_WHICH = 16


def grant_words(grant: GrantSaid, zone: ZoneInfo) -> tuple[str, str, str, str]:
    """Return time, user, campaign and reward of a grant, as they are shown."""
    when = datetime.fromtimestamp(grant.granted_at / 1000, UTC).astimezone(zone).strftime("%H:%M:%S")
    reward = f"+{amount_text(grant.reward.amount)} {grant.reward.what}"
    if grant.reward.requested is not None:
        reward += f" (what was left of {amount_text(grant.reward.requested)})"
    return when, grant.user, grant.campaign, reward


class Screen:
    """Writes lines as they come; where nobody looks they are plain."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self._out = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._err = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def grant(self, grant: GrantSaid) -> None:
        """Show a grant."""
        when, user, campaign, reward = grant_words(grant, self._zone)
        line = Text(when, "dim")
        line.append(f"  {user:{_WHO}}  ", "default").append(f"{campaign:{_WHICH}}  ", "cyan").append(reward, "bold green")
        self._out.print(line)
        self._out.file.flush()  # who reads a pipe sees it now

    def say(self, text: str, style: str = "") -> None:
        """Say something to whoever runs the command."""
        self._err.print(Text(text, style))

    def facts(self, facts: list[tuple[str, str]]) -> None:
        """Say where things are, a name and a value a line."""
        width = max(len(name) for name, _ in facts)
        for name, value in facts:
            self._err.print(Text(f"{name:{width}}  ", "bold").append(value, "default"))
