"""The fields of `qualify` and `when`: by what users qualify, and from when until when, or at which instant (R2-R4, R10, R12-R17)."""

from __future__ import annotations

from livepromo.documents.conditions import conditions
from livepromo.documents.earning import Setting
from livepromo.documents.fields import LONGEST_EVENT, LONGEST_PROPERTY, Part, duration, fits, instant, names, part, reference, text, word
from livepromo.documents.shapes import fields_of
from livepromo.documents.values import UNREADABLE, shown
from livepromo.model.documents import FromList, Live, Past, Qualify, Retrigger, Same, Unless, When

_LONGEST_WINDOW = "180d"
_LONGEST_GRACE = "24h"
_ONLY_WITH_UNLESS = {
    "same": ("stands only beside unless", "R10"),
    "retrigger": ("stands only beside unless", "R4"),
}
_INSIDE_UNLESS = dict.fromkeys(("grace", "within"), ("stands only inside unless: unless: {event: …, within: …}", "R4"))


def qualifying(outer: Part) -> Qualify | None:
    """Return how users qualify; not to be used where a problem was found."""
    qualify = part(outer, "qualify", "R1", wanted="how users qualify: live: {event: …}, past: {} or list: …")
    if qualify is None:
        return None
    qualify.only(fields_of("qualify"))
    if qualify.one_of(fields_of("qualify"), "R1", "kind of qualification") is None:
        _live(qualify)  # what is wrong in there is said as well
        return None
    if "live" in qualify:
        return _live(qualify)
    if "list" in qualify:
        listed = reference(qualify, "list", "list", "R2")
        return FromList(listed) if listed is not None else None
    past = part(qualify, "past", "R2")
    if past is None:
        return None
    past.only(fields_of("past"))
    return Past()


def _live(qualify: Part) -> Live | None:
    live = part(qualify, "live", "R3")
    if live is None:
        return None
    live.only(fields_of("live"), _INSIDE_UNLESS if "unless" in live else {**_INSIDE_UNLESS, **_ONLY_WITH_UNLESS})
    event = text(live, "event", "R3", wanted="the name of the event", longest=LONGEST_EVENT)
    where = conditions(live, "where")
    unless, retrigger = None, None
    same: tuple[Same, ...] = ()
    if "unless" in live:
        unless, same = _unless(live), _same(live)
        retrigger = word(live, "retrigger", Retrigger, "R4")
    return Live(event, where, unless, same, retrigger or Retrigger.KEEP) if event is not None else None


def _unless(live: Part) -> Unless | None:
    unless = part(live, "unless", "R4")
    if unless is None:
        return None
    beside = dict.fromkeys(("same", "retrigger"), ("stands beside unless, not inside", "R4"))
    unless.only(fields_of("unless"), beside)
    events = names(unless, "event", "R4", wanted="the name of the event that must not follow, or a list of them")
    where = conditions(unless, "where")
    within_ms = duration(unless, "within", "R4", wanted='the time that a user has, such as "30m"', longest=_LONGEST_WINDOW)
    grace_ms = duration(unless, "grace", "R4", longest=_LONGEST_GRACE)
    return Unless(events, within_ms, where, grace_ms) if events is not None and within_ms is not None else None


def _same(live: Part) -> tuple[Same, ...]:
    if "same" not in live:
        return ()
    items = live.fields["same"]
    if not isinstance(items, list):
        live.wrong("same", "a list of properties", "R10")
        return ()
    found: set[Same] = set()
    for index, item in enumerate(items):
        path = f"{live.at('same')}[{index}]"
        if isinstance(item, dict):
            pair = Part(live.findings, item, path)
            pair.only(fields_of("same"))
            event = text(pair, "event", "R10", wanted="what the trigger calls it", longest=LONGEST_PROPERTY)
            unless = text(pair, "unless", "R10", wanted="what the other event calls it", longest=LONGEST_PROPERTY)
        elif isinstance(item, str):
            event = unless = item if fits(live.findings, path, item, LONGEST_PROPERTY, "R10") else None
        else:
            if item is not UNREADABLE:
                live.findings.error(path, f"{shown(item)} is not a property's name, or {{event: …, unless: …}}", "R10")
            continue
        if event is not None and unless is not None:
            found.add(Same(event, unless))
    return tuple(sorted(found))


def when(outer: Part, setting: Setting) -> When:
    """Return when the campaign runs, or is sent."""
    times = part(outer, "when")
    if times is None:
        return When()
    misplaced = setting.live_only({"start": "R14", "end": "R17"})
    if setting.qualify == "live":
        misplaced["send"] = ("belongs to past and list campaigns; a live one has start and end", "R12")
    elif setting.qualify is None and "send" in times and ("start" in times or "end" in times):
        misplaced["send"] = ("stands beside start or end: a live campaign has start and end, another one send", "R12")
    times.only(fields_of("when"), misplaced)
    start = end = send = None
    if not setting.sent:
        start = None if times.fields.get("start") == "now" else instant(times, "start", setting.zone, "R15")
        end = None if times.fields.get("end") == "never" else instant(times, "end", setting.zone, "R17")
        if start is not None and end is not None and end <= start:
            times.error("end", f"{shown(times.fields['end'])} is not after the start, {shown(times.fields['start'])}", "R17")
    if setting.qualify != "live":
        send = None if times.fields.get("send") == "now" else instant(times, "send", setting.zone, "R13")
    return When(start, end, send)
