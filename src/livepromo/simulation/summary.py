"""What a simulation comes to: counts, amounts, budget and codes left, and why rewards were refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from livepromo.documents.catalogue import Catalogue
from livepromo.engine.limits import most_of
from livepromo.engine.owing import pool_of
from livepromo.engine.state import Changes
from livepromo.model.amounts import amount_text
from livepromo.model.decisions import Denial, Grant
from livepromo.model.documents import Campaign

TOP_REASONS = 3


class Line:
    """What became of one campaign."""

    def __init__(self) -> None:
        self.grants = self.denials = self.amount_units = 0
        self.users: set[str] = set()
        self.reasons: Counter[str] = Counter()


class Summary:
    """Counts records and decisions as they come."""

    def __init__(self, sizes: Mapping[str, int] | None = None) -> None:
        self.taken = self.repeats = self.ignored = 0
        self.dead: Counter[str] = Counter()
        self.lines: dict[str, Line] = {}
        self._sizes = sizes or {}  # codes that each pool has
        self._given: Counter[str] = Counter()  # codes that were given of each
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
            if decision.candidate.pool is not None:
                self._given[decision.candidate.pool] += 1
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
        """Return the head and the rows of the table of campaigns; what codes are left stands there where any campaign gives codes."""
        head = ["campaign", "grants", "users", "amount", "budget left", "denials", "top reasons"]
        rows = [self._row(campaign, line) for campaign, line in sorted(self.lines.items())]
        left = [self._codes_left(campaign) for campaign in sorted(self.lines)]
        if any(left):
            head.insert(5, "codes left")
            for row, codes in zip(rows, left, strict=True):
                row.insert(5, codes)
        return head, rows

    def _codes_left(self, campaign: str) -> str:
        document = self._document(campaign)
        pool = None if document is None else pool_of(document.reward)
        return "" if pool is None else str(self._sizes.get(pool, 0) - self._given[pool])

    def _row(self, campaign: str, line: Line) -> list[str]:
        decimals, budget_units = self._money(campaign)
        left = "" if budget_units is None else amount_text(budget_units - line.amount_units, decimals)
        reasons = ", ".join(f"{reason} {n}" for reason, n in line.reasons.most_common(TOP_REASONS))
        amount = amount_text(line.amount_units, decimals)
        return [campaign, str(line.grants), str(len(line.users)), amount, left, str(line.denials), reasons]

    def _money(self, campaign: str) -> tuple[int, int | None]:
        document = self._document(campaign)
        if document is None:
            return 0, None
        most = most_of(document, self._catalogue)
        return most.decimals, most.units

    def _document(self, campaign: str) -> Campaign | None:
        entry = self._catalogue.entries.get(f"campaign/{campaign}")
        if entry is None:
            return None
        assert isinstance(entry.document, Campaign)
        return entry.document
