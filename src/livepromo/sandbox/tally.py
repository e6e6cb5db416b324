"""What was granted and denied, as it comes out of the topics: read, shown in a line, and counted."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import msgspec

TOP_REASONS = 3


class RewardSaid(msgspec.Struct, frozen=True):
    """The reward of a grant, of whatever type, without its code."""

    wallet: str | None = None
    item: str | None = None
    coupon: str | None = None
    partner: str | None = None
    points: Decimal | None = None
    value: Decimal | None = None
    requested: Decimal | None = None

    @property
    def amount(self) -> Decimal:
        """How much it is: points, credits, or one of anything else."""
        return self.points or self.value or Decimal(1)

    @property
    def what(self) -> str:
        """What it is of: a wallet, an item, a coupon or a partner."""
        return self.wallet or self.item or self.coupon or self.partner or "reward"


class GrantSaid(msgspec.Struct, frozen=True):
    """A record of `reward-granted`."""

    grant_id: str
    campaign: str
    user: str
    granted_at: int
    cause: msgspec.Raw
    reward: RewardSaid


class DenialSaid(msgspec.Struct, frozen=True):
    """A record of `reward-denied`."""

    campaign: str
    user: str
    cause: msgspec.Raw
    reason: str
    requested: Decimal | None = None


read_grant = msgspec.json.Decoder(GrantSaid).decode
read_denial = msgspec.json.Decoder(DenialSaid).decode


def amount_text(amount: Decimal) -> str:
    """Return an amount as people write it."""
    return format(amount.normalize(), "f")


class Line:
    """What became of one campaign."""

    def __init__(self) -> None:
        self.grants = 0
        self.amount = Decimal()
        self.users: set[str] = set()
        self.reasons: Counter[str] = Counter()


class Tally:
    """Counts grants, each once however often it is delivered, and denials."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}
        self._seen: set[str] = set()
        self._denied: Counter[tuple[str, str]] = Counter()

    def _line(self, campaign: str) -> Line:
        return self.lines.setdefault(campaign, Line())

    @property
    def grants(self) -> int:
        """How many grants there are."""
        return len(self._seen)

    def add_grant(self, grant: GrantSaid) -> bool:
        """Count a grant; return whether it is a new one."""
        if grant.grant_id in self._seen:
            return False
        self._seen.add(grant.grant_id)
        line = self._line(grant.campaign)
        line.grants += 1
        line.amount += grant.reward.amount
        line.users.add(grant.user)
        return True

    def add_denial(self, denial: DenialSaid) -> bool:
        """Count a denial; return whether it is the campaign's first of that reason."""
        reasons = self._line(denial.campaign).reasons
        reasons[denial.reason] += 1
        self._denied[denial.campaign, denial.reason] += 1
        return reasons[denial.reason] == 1

    def denials_since(self) -> str:
        """Return in words what was denied since this was last asked; empty if nothing was."""
        by_campaign: dict[str, list[str]] = {}
        for (campaign, reason), count in sorted(self._denied.items()):
            by_campaign.setdefault(campaign, []).append(f"{reason} {count}")
        self._denied.clear()
        return " · ".join(f"{campaign} {', '.join(reasons)}" for campaign, reasons in by_campaign.items())

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the head and the rows of the table of campaigns."""
        rows = [
            [
                campaign,
                str(line.grants),
                str(len(line.users)),
                amount_text(line.amount),
                str(line.reasons.total()),
                ", ".join(f"{reason} {count}" for reason, count in line.reasons.most_common(TOP_REASONS)),
            ]
            for campaign, line in sorted(self.lines.items())
        ]
        return ["campaign", "grants", "users", "amount", "denials", "top reasons"], rows
