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
from livepromo.model.documents import Campaign, Live
from livepromo.model.ids import CampaignId

TOP_REASONS = 3

_WINDOWS = ("opened", "moved", "done", "fired", "stopped", "late_trigger", "over_limit")  # as the metric calls them

Table = tuple[list[str], list[list[str]]]
"""A head, and rows."""


class Line:
    """What became of one campaign."""

    def __init__(self) -> None:
        self.grants = self.denials = self.amount_units = 0
        self.users: set[str] = set()
        self.reasons: Counter[str] = Counter()
        self.windows: Counter[str] = Counter()
        self.open_windows = 0
        self.visited = self.meant = 0  # users whom a send looked at, and whom of them it was for


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
                self._line(entry.document.id)

    def count_records(self, changes: Changes) -> None:
        """Count what became of records."""
        self.taken += changes.taken
        self.repeats += changes.repeats
        self.ignored += changes.ignored
        self.dead.update(reason.value for _, reason in changes.dead)

    def count_windows(self, changes: Changes) -> None:
        """Count what became of windows."""
        for campaign, tally in changes.tally.items():
            self._line(campaign).windows.update(tally)
        for campaign, more in changes.open_windows.items():
            self._line(campaign).open_windows += more

    def count_visited(self, campaign: CampaignId, visited: int, meant: int) -> None:
        """Count users whom a send looked at, and those of them whom it was for."""
        line = self._line(campaign)
        line.visited += visited
        line.meant += meant

    def _line(self, campaign: str) -> Line:
        return self.lines.setdefault(campaign, Line())

    def count_decision(self, decision: Grant | Denial) -> None:
        """Count one decision."""
        if isinstance(decision, Grant):
            line = self._line(decision.candidate.campaign)
            line.grants += 1
            line.amount_units += decision.amount_units
            line.users.add(decision.candidate.user)
            if decision.candidate.pool is not None:
                self._given[decision.candidate.pool] += 1
        else:
            line = self._line(decision.campaign)
            line.denials += 1
            line.reasons[decision.reason.value] += 1

    def records_text(self) -> str:
        """Return one sentence about the records."""
        read = self.taken + self.repeats + self.ignored + self.dead.total()
        text = f"{read} records: {self.taken} taken, {self.repeats} repeats, {self.ignored} ignored, {self.dead.total()} dead letters"
        return text + (f" ({', '.join(f'{reason} {n}' for reason, n in self.dead.most_common())})" if self.dead else "")

    def table(self) -> Table:
        """Return the head and the rows of the table of campaigns; what codes are left stands there where any campaign gives codes."""
        head = ["campaign", "grants", "users", "amount", "budget left", "denials", "top reasons"]
        rows = [self._row(campaign, line) for campaign, line in sorted(self.lines.items())]
        left = [self._codes_left(campaign) for campaign in sorted(self.lines)]
        if any(left):
            head.insert(5, "codes left")
            for row, codes in zip(rows, left, strict=True):
                row.insert(5, codes)
        return head, rows

    def windows_table(self) -> Table:
        """Return the head and the rows of what became of windows; no row where no campaign has any."""
        head = ["windows of", *(name.replace("_", " ") for name in _WINDOWS), "still open"]
        rows = [
            [campaign, *(str(line.windows[name]) for name in _WINDOWS), str(line.open_windows)]
            for campaign, line in sorted(self.lines.items())
            if line.windows or self._waits(campaign)
        ]
        return head, rows

    def _waits(self, campaign: str) -> bool:
        document = self._document(campaign)
        return document is not None and isinstance(document.qualify, Live) and document.qualify.unless is not None

    def sends_table(self) -> Table:
        """Return the head and the rows of whom was sent what; no row where no campaign is sent."""
        rows = [
            [campaign, str(line.visited), str(line.meant), str(line.grants), str(line.denials)]
            for campaign, line in sorted(self.lines.items())
            if (document := self._document(campaign)) is not None and not isinstance(document.qualify, Live)
        ]
        return ["sent", "users", "in the audience", "grants", "denials"], rows

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
