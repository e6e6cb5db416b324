"""What grants use up of limits, counted anew in the ledger's order."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from livepromo.model.documents import CouponReward, Live, OnInsufficient
from simulation.owed import Owed


@cache
def periods_of(zone: str, hour: int, quarter: int) -> tuple[tuple[str, int], ...]:
    """Return the day, the week and the month of an instant, as they stand in rows."""
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=15 * quarter)).astimezone(ZoneInfo(zone)).date()
    monday = at - timedelta(days=at.weekday())
    return ("day", at.toordinal()), ("week", monday.toordinal() // 7), ("month", at.year * 12 + at.month - 1)


class Used:
    """What a campaign's grants have used up, counted in the ledger's order."""

    def __init__(self) -> None:
        self.count = self.units = 0
        self.of_codes = False
        self.user_count: Counter[str] = Counter()
        self.user_units: Counter[str] = Counter()
        self.user_periods: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)

    def refusal(self, owed: Owed) -> str | None:
        """Return which limit refuses a reward here, if one does."""
        reward = owed.campaign.reward
        if isinstance(reward, CouponReward):
            if reward.max_per_user is not None and self.user_count[owed.user] + 1 > reward.max_per_user:
                return "user_total"
            return "campaign_limit" if reward.max_per_campaign is not None and self.count + 1 > reward.max_per_campaign else None
        caps, budget = owed.campaign.reward.recurrence, owed.campaign.reward.budget
        most = caps.total if isinstance(owed.campaign.qualify, Live) else 1
        if most is not None and self.user_count[owed.user] + 1 > most:
            return "user_total"
        for kind, ordinal in self.periods(owed):
            cap = {"day": caps.day, "week": caps.week, "month": caps.month}[kind]
            kept = self.user_periods[owed.user, kind]
            forgotten = ordinal not in kept and len(kept) == 3 and ordinal < min(kept)
            if cap is not None and (forgotten or kept.get(ordinal, 0) + 1 > cap):
                return f"user_{kind}"
        partial = owed.campaign.reward.on_insufficient is OnInsufficient.PARTIAL
        for reason, milli, used in (
            ("user_budget", budget.user_milli, self.user_units[owed.user]),
            ("campaign_budget", budget.campaign_milli, self.units),
        ):
            if milli is not None:
                left = self.cap_units(milli, owed) - used
                if left <= 0 or (left < owed.units and not partial):
                    return reason
        return None

    @staticmethod
    def cap_units(milli: int, owed: Owed) -> int:
        return milli * int(10**owed.decimals) // 1000

    @staticmethod
    def periods(owed: Owed) -> tuple[tuple[str, int], ...]:
        quarters = owed.time_ms // 900_000
        return periods_of(owed.campaign.timezone, quarters // 4, quarters % 4)

    def given(self, owed: Owed) -> int:
        """Return how much is given here, if nothing refuses."""
        if isinstance(owed.campaign.reward, CouponReward):
            return 1
        budget = owed.campaign.reward.budget
        left = [owed.units]
        if budget.user_milli is not None:
            left.append(self.cap_units(budget.user_milli, owed) - self.user_units[owed.user])
        if budget.campaign_milli is not None:
            left.append(self.cap_units(budget.campaign_milli, owed) - self.units)
        return min(left)

    def take(self, owed: Owed, units: int) -> None:
        """Count a grant."""
        self.count += 1
        self.of_codes = isinstance(owed.campaign.reward, CouponReward)
        self.units += units
        self.user_count[owed.user] += 1
        self.user_units[owed.user] += units
        for kind, ordinal in self.periods(owed):
            kept = self.user_periods[owed.user, kind]
            if ordinal in kept or len(kept) < 3 or ordinal > min(kept):
                kept[ordinal] = kept.get(ordinal, 0) + 1
                while len(kept) > 3:
                    del kept[min(kept)]

    def rows(self, campaign: str) -> dict[str, dict[str, int]]:
        """Return the rows that the table must hold."""
        if not self.count:
            return {}
        if self.of_codes:
            return {campaign: {"total": self.count}} | {f"{campaign}/{user}": {"total": times} for user, times in self.user_count.items()}
        rows = {campaign: {"total": self.count, "amount": self.units}}
        for user, times in self.user_count.items():
            row = rows[f"{campaign}/{user}"] = {"total": times, "amount": self.user_units[user]}
            for kind in ("day", "week", "month"):
                row |= {f"{kind}:{ordinal}": used for ordinal, used in self.user_periods[user, kind].items()}
        return rows
