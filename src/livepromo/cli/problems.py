"""How commands that need sound documents say what is wrong with them: the lines of `livepromo check`, for people."""

from __future__ import annotations

from collections.abc import Sequence

from livepromo.cli.errors import InputError
from livepromo.cli.output import say
from livepromo.documents.reading import Problem


def refuse_errors(problems: Sequence[Problem]) -> None:
    """Say every problem, a line each. Raises InputError where one of them is an error; warnings (R71) stop nothing."""
    for problem in problems:
        say(problem.text)
    errors = sum(problem.severity == "error" for problem in problems)
    if errors:
        raise InputError(f"{errors} error{'s' if errors > 1 else ''} in the documents: nothing was done")
