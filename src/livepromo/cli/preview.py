"""livepromo preview: which reward would one event earn?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from livepromo.documents.catalogue import Catalogue
    from livepromo.model.decisions import Candidate, Denial
    from livepromo.model.documents import Campaign, Document
    from livepromo.model.records import Event, Profile

_USER = "preview-user"
_BEFORE_EVERYTHING_MS = -(1 << 61)  # `start: now` is before every event, as in a simulation


def preview(
    campaign_file: str,
    /,
    *,
    event: str,
    profile: str = "{}",
    campaign: str | None = None,
    documents: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
) -> None:
    """Show the reward that an event would make for a user with these properties, and for custom rewards the payload.

    One JSON object, `{"reward": …, "payload": …}`; points have no payload. It is the first reward of its campaign: no limit is used
    up yet. Where there would be none, it is said why, and the exit code is 1. Of the event, what is left out is filled in: the user,
    the name that the campaign waits for, the time now.

    Example: `livepromo preview cart.yaml --event '{"properties": {"Amount": 250}}' --profile '{"plan": "gold"}'`

    Args:
        campaign_file: A YAML or JSON file with the campaign, and with what it refers to; - for standard input.
        event: A record as it would come in, as JSON, or @FILE.
        profile: The user's properties, as JSON, or @FILE.
        campaign: Which one, where the file has several campaigns.
        documents: Further files, for what the campaign refers to.
    """
    from livepromo.cli.output import put  # noqa: PLC0415 - `preview --help` needs none of all this
    from livepromo.cli.problems import refuse_errors  # noqa: PLC0415
    from livepromo.documents.files import read_files  # noqa: PLC0415
    from livepromo.documents.reading import documents_of  # noqa: PLC0415
    from livepromo.documents.references import check_documents  # noqa: PLC0415
    from livepromo.settings import load  # noqa: PLC0415

    zone = load().timezone
    read, problems = read_files([campaign_file], zone)
    more, other_problems = read_files(documents or [], zone)
    problems += other_problems + check_documents(read + more, None, now_ms=None, strict=False)
    refuse_errors([problem for problem in problems if problem.severity == "error"])  # advice (R71) is for those who publish
    chosen = _chosen(documents_of(read), campaign, campaign_file)
    what = _event(_content(event, "--event"), chosen)
    whose = _profile(_content(profile, "--profile"), what)
    put('{"reward":%s,"payload":null}' % _reward(_published(documents_of(read + more)), chosen, what, whose))


def _chosen(documents: list[Document], wanted: str | None, file: str) -> Campaign:
    from livepromo.cli.errors import UsageError  # noqa: PLC0415
    from livepromo.cli.naming import campaign_id  # noqa: PLC0415
    from livepromo.model.documents import Campaign  # noqa: PLC0415

    there = {str(one.id): one for one in documents if isinstance(one, Campaign)}
    if wanted is not None:
        if campaign_id(wanted) not in there:
            raise UsageError(f'{file} has no campaign "{campaign_id(wanted)}": it has {", ".join(there) or "none"}')
        return there[campaign_id(wanted)]
    if len(there) != 1:
        raise UsageError(f"{file} has {'several campaigns' if there else 'no campaign'}: {_which(there)}")
    return next(iter(there.values()))


def _which(there: dict[str, Campaign]) -> str:
    return f"say which with --campaign: {', '.join(there)}" if there else "name the file that has it"


def _content(text: str, option: str) -> str:
    """Return what an option says, or the content of the file that it names. Raises InputError."""
    from livepromo.cli.errors import InputError  # noqa: PLC0415

    if not text.startswith("@"):
        return text.strip()
    try:
        return Path(text[1:]).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InputError(f"{option}: {text[1:]} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _event(text: str, campaign: Campaign) -> Event:
    """Return the event that the text says, read as a record that comes in, with what it leaves out. Raises InputError."""
    from livepromo.behaviour.decoding import decode  # noqa: PLC0415
    from livepromo.cli.errors import InputError  # noqa: PLC0415
    from livepromo.model.json_text import json_bytes  # noqa: PLC0415
    from livepromo.model.records import Event, Malformed  # noqa: PLC0415
    from livepromo.telemetry import clock  # noqa: PLC0415

    _object(text, "--event")
    # In front, since of duplicate keys the last counts; and as text, since numbers must be read as those of a record are.
    given = json_bytes({"user": _USER, "event": campaign.qualify.event, "ts": clock.wall_ms()}).decode()[:-1]
    rest = text[1:].lstrip()
    record = decode((given + ("" if rest.startswith("}") else ",") + rest).encode(errors="surrogateescape"))
    if isinstance(record, Malformed):
        raise InputError(f"--event would be a dead letter: {record.reason.value}")
    if not isinstance(record, Event):
        raise InputError("--event is a record of another type: give an event, and the user's properties with --profile")
    return record


def _profile(text: str, event: Event) -> Profile:
    """Return the user's properties as the profile record that says them. Raises InputError."""
    from livepromo.behaviour.decoding import decode  # noqa: PLC0415
    from livepromo.cli.errors import InputError  # noqa: PLC0415
    from livepromo.model.json_text import json_bytes  # noqa: PLC0415
    from livepromo.model.records import Malformed, Profile  # noqa: PLC0415

    _object(text, "--profile")
    head = json_bytes({"type": "profile", "user": event.user, "ts": event.ts_ms})[:-1]
    record = decode(head + b',"properties":' + text.encode(errors="surrogateescape") + b"}")
    if isinstance(record, Malformed):
        raise InputError(f"--profile would be a dead letter: {record.reason.value}")
    assert isinstance(record, Profile), record
    return record


def _object(text: str, option: str) -> None:
    from json import loads  # noqa: PLC0415

    from livepromo.cli.errors import InputError  # noqa: PLC0415

    try:
        value = loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{option} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f'{option} is no JSON object: write it as {{"…": …}}')


def _published(documents: list[Document]) -> Catalogue:
    from livepromo.documents import catalogue  # noqa: PLC0415
    from livepromo.model.documents import key_of  # noqa: PLC0415

    publication = catalogue.Publication("preview", {key_of(one): 0 for one in documents}, tuple(documents))
    published, valid = catalogue.take(catalogue.Catalogue(), 0, 0, publication)
    assert valid, "documents that were checked publish"
    return published


def _reward(published: Catalogue, campaign: Campaign, event: Event, profile: Profile) -> str:
    """Return the reward's JSON, made and decided by the engine. Raises InputError where there is none."""
    from msgspec import Raw, Struct, json  # noqa: PLC0415

    from livepromo.cli.errors import InputError  # noqa: PLC0415
    from livepromo.engine.partition import Batch, Horizons, State, advance  # noqa: PLC0415
    from livepromo.engine.plan import compile_plan  # noqa: PLC0415
    from livepromo.ledger.deciding import decide  # noqa: PLC0415
    from livepromo.model.decisions import Candidate, Denial  # noqa: PLC0415

    class Granted(Struct):
        reward: Raw

    plan = compile_plan(published, now_start_ms=_BEFORE_EVERYTHING_MS)
    changes = advance(State(Horizons()), plan, Horizons(), Batch((0, 1), (profile, event), (None, None)))
    if changes.dead:
        raise InputError(f"{'--event' if changes.dead[0][0] else '--profile'} would be a dead letter: {changes.dead[0][1].value}")
    outcome: Candidate | Denial | None = next((one for one in changes.outcomes if one.campaign == campaign.id), None)
    if outcome is None:
        raise InputError(f"no reward: {_why_not(campaign, event)}")
    decision = decide({}, outcome) if isinstance(outcome, Candidate) else outcome
    if isinstance(decision, Denial):
        raise InputError(f"no reward: it would be denied: {decision.reason.value}{_meant(campaign, decision)}")
    return bytes(json.decode(decision.as_json(), type=Granted).reward).decode()


def _meant(campaign: Campaign, denial: Denial) -> str:
    of = getattr(campaign.reward.earn, "of", None)
    return f" (of {of})" if of is not None and denial.reason.value.startswith(("property_", "amount_")) else ""


def _why_not(campaign: Campaign, event: Event) -> str:
    """Say why an event does not qualify."""
    from livepromo.behaviour.conditions import compile_condition  # noqa: PLC0415
    from livepromo.model.ids import sampled  # noqa: PLC0415
    from livepromo.model.time import from_ms  # noqa: PLC0415

    if event.event != campaign.qualify.event:
        return f'{campaign.id} waits for "{campaign.qualify.event}", the event is "{event.event}"'
    at = f"the event's time, {from_ms(event.ts_ms):%Y-%m-%dT%H:%M:%SZ}"
    start_ms, end_ms = campaign.when.start_ms, campaign.when.end_ms
    if start_ms is not None and event.ts_ms < start_ms:
        return f"{at}, is before the start, {from_ms(start_ms):%Y-%m-%dT%H:%M:%SZ}"
    if end_ms is not None and event.ts_ms >= end_ms:
        return f"{at}, is not before the end, {from_ms(end_ms):%Y-%m-%dT%H:%M:%SZ}"
    for place, condition in enumerate(campaign.qualify.where):
        if not compile_condition(condition)(event.properties):
            return f"$.qualify.live.where[{place}] does not hold: {condition.property} {condition.op.value}"
    if campaign.who is not None and not sampled(campaign.id, event.user, campaign.who.percent_milli):
        return f'the user "{event.user}" is not in the sample'
    return f"{campaign.id} does not reward this event"
