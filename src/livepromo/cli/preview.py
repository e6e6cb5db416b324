"""livepromo preview: which reward would one event earn?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from livepromo.cli.check import no_option
from livepromo.cli.errors import InputError, UsageError
from livepromo.cli.naming import campaign_id
from livepromo.cli.output import put, say
from livepromo.cli.problems import refuse_errors
from livepromo.documents.files import read_files
from livepromo.documents.reading import documents_of
from livepromo.documents.references import check_documents
from livepromo.model.documents import Campaign, Document, Live
from livepromo.settings import load
from livepromo.telemetry import clock


def preview(
    campaign_file: Annotated[str, Parameter(allow_leading_hyphen=True, validator=no_option)],
    /,
    *,
    event: str | None = None,
    profile: str = "{}",
    campaign: str | None = None,
    documents: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
) -> None:
    """Show the reward that an event would make for a user with these properties, and for custom rewards the payload.

    One JSON object, `{"reward": …, "payload": …}`; only custom rewards have a payload, null stands for none. It is the first reward of
    its campaign: no limit is used up yet, and no code is taken, so null stands for that of a bulk coupon or a voucher. Where there would
    be none, it is said why, and the exit code is 1. Of the event, what is left out is filled in: the user, the name that the campaign
    waits for, the time now. Where the campaign rewards what is not done, nothing follows the event. A past or list campaign needs none:
    it is sent to a user with this profile, who is on the list.

    Example: `livepromo preview cart.yaml --event '{"properties": {"Amount": 250}}' --profile '{"plan": "gold"}'`

    Args:
        campaign_file: A YAML or JSON file with the campaign, and with what it refers to; - for standard input.
        event: A record as it would come in, as JSON, or @FILE; for live campaigns.
        profile: The user's properties, as JSON, or @FILE.
        campaign: Which one, where the file has several campaigns.
        documents: Further files, for what the campaign refers to.
    """
    from livepromo.simulation.preview import USER, event_of, previewed, profile_of  # noqa: PLC0415 - slow to import

    zone = load().timezone
    read, problems = read_files([campaign_file], zone)
    more, other_problems = read_files(documents or [], zone)
    problems += other_problems + check_documents(read + more, None, now_ms=None, strict=False)
    refuse_errors([problem for problem in problems if problem.severity == "error"])  # advice (R71) is for those who publish
    chosen = _chosen(documents_of(read), campaign, campaign_file)
    now_ms = clock.wall_ms()
    what = None
    if isinstance(chosen.qualify, Live):
        if event is None:
            raise UsageError(f"--event must be given: {chosen.id} is a live campaign, so an event makes its rewards")
        what = event_of(_content(event, "--event"), chosen, now_ms)
    elif event is not None:
        say(f"{chosen.id} is sent, so the event is not looked at")
    user, ts_ms = (USER, now_ms) if what is None else (what.user, what.ts_ms)
    whose = profile_of(_content(profile, "--profile"), user, ts_ms)
    found = previewed(documents_of(read + more), chosen, what, whose)
    put(f'{{"reward":{found.reward.decode()},"payload":{found.payload.decode()}}}')


def _chosen(documents: Sequence[Document], wanted: str | None, file: str) -> Campaign:

    there = {str(one.id): one for one in documents if isinstance(one, Campaign)}
    if wanted is not None:
        if campaign_id(wanted) not in there:
            raise UsageError(f'{file} has no campaign "{campaign_id(wanted)}": it has {", ".join(there) or "none"}')
        return there[campaign_id(wanted)]
    if not there:
        raise UsageError(f"{file} has no campaign: name the file that has it first, and others with --documents")
    if len(there) > 1:
        raise UsageError(f"{file} has several campaigns: say which with --campaign: {', '.join(there)}")
    return next(iter(there.values()))


def _content(text: str, option: str) -> str:
    """Return what an option says, or the content of the file that it names. Raises InputError."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{option}: {text[1:]} cannot be read: {getattr(error, 'strerror', None) or error}") from None
