"""What a simulation comes to: counts, amounts, budget left, and why rewards were refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from livepromo.documents.catalogue import Catalogue
from livepromo.engine.partition import Changes
from livepromo.engine.plan import units_of
from livepromo.model.amounts import amount_text
from livepromo.model.decisions import Denial, Grant
from livepromo.model.documents import Campaign, Points, Wallet

TOP_REASONS = 3


class Line:
    """What became of one campaign."""

    def __init__(self) -> None:
        self.grants = self.denials = self.amount_units = 0
        self.users: set[str] = set()
        self.reasons: Counter[str] = Counter()


class Summary:
    """Counts records and decisions as they come."""

    def __init__(self) -> None:
        self.taken = self.repeats = self.ignored = 0
        self.dead: Counter[str] = Counter()
        self.lines: dict[str, Line] = {}
        self._catalogue = Catalogue()

    def take_catalogue(self, catalogue: Catalogue) -> None:
        """Take note of the documents that hold at the end."""
        self._catalogue = catalogue
        for entry in catalogue.entries.values():
            if isinstance(entry.document, Campaign):
                self.lines.setdefault(entry.document.id, Line())

    def count_records(self, changes: Changes) -> None:
        """Count what became of records."""
        self.taken += changes.taken
        self.repeats += changes.repeats
        self.ignored += changes.ignored
        self.dead.update(reason.value for _, reason in changes.dead)

    def count_decision(self, decision: Grant | Denial) -> None:
        """Count one decision."""
        if isinstance(decision, Grant):
            line = self.lines.setdefault(decision.candidate.campaign, Line())
            line.grants += 1
            line.amount_units += decision.amount_units
            line.users.add(decision.candidate.user)
        else:
            line = self.lines.setdefault(decision.campaign, Line())
            line.denials += 1
            line.reasons[decision.reason.value] += 1

    def records_text(self) -> str:
        """Return one sentence about the records."""
        read = self.taken + self.repeats + self.ignored + self.dead.total()
        text = f"{read} records: {self.taken} taken, {self.repeats} repeats, {self.ignored} ignored, {self.dead.total()} dead letters"
        return text + (f" ({', '.join(f'{reason} {n}' for reason, n in self.dead.most_common())})" if self.dead else "")

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the head and the rows of the table of campaigns."""
        head = ["campaign", "grants", "users", "amount", "budget left", "denials", "top reasons"]
        return head, [self._row(campaign, line) for campaign, line in sorted(self.lines.items())]

    def _row(self, campaign: str, line: Line) -> list[str]:
        decimals, budget_units = self._money(campaign)
        left = "" if budget_units is None else amount_text(budget_units - line.amount_units, decimals)
        reasons = ", ".join(f"{reason} {n}" for reason, n in line.reasons.most_common(TOP_REASONS))
        amount = amount_text(line.amount_units, decimals)
        return [campaign, str(line.grants), str(len(line.users)), amount, left, str(line.denials), reasons]

    def _money(self, campaign: str) -> tuple[int, int | None]:
        entries: Mapping[str, object] = self._catalogue.entries
        if f"campaign/{campaign}" not in entries:
            return 0, None
        document = self._catalogue.entries[f"campaign/{campaign}"].document
        assert isinstance(document, Campaign)
        points = document.reward
        assert isinstance(points, Points)
        wallet = self._catalogue.entries[f"wallet/{points.wallet}"].document
        assert isinstance(wallet, Wallet)
        return wallet.decimals, units_of(points.budget.campaign_milli, wallet.decimals)
