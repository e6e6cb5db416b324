"""The fields of `reward.points`: what is earned, within which limits, valid when, and with which metadata."""

from __future__ import annotations

from datetime import tzinfo

from livepromo.documents.fields import (
    LONGEST_PROPERTY,
    MOST_MILLI,
    Part,
    amount,
    count,
    duration,
    identifier,
    instant,
    part,
    parts,
    scalar,
    text,
    word,
)
from livepromo.documents.values import shown
from livepromo.model.documents import (
    Budget,
    Earn,
    EventProperty,
    Fact,
    FactOf,
    Favor,
    Flat,
    Literal,
    MetadataRow,
    OnInsufficient,
    Per,
    Percent,
    Points,
    Random,
    Recurrence,
    UserProperty,
    Validity,
)

_FIELDS = ("wallet", "earn", "max_per_reward", "recurrence", "validity", "budget", "on_insufficient", "metadata")
_OF_OTHER_REWARDS = {
    **dict.fromkeys(("coupon", "type", "redeem_after"), ("belongs to coupons, not to points", "R11")),
    **dict.fromkeys(("partner", "list_tag"), ("belongs to vouchers, not to points", "R11")),
    **dict.fromkeys(("endpoint", "item", "credits", "identifiers"), ("belongs to custom rewards, not to points", "R11")),
    "max_per_user": ("belongs to coupons and vouchers; points have recurrence: {total: …}", "R11"),
    "max_per_campaign": ("belongs to coupons and vouchers; points have budget: {campaign: …}", "R11"),
}
_PERIODS = dict.fromkeys(("day", "week", "month"), ("belongs to the budget of an item; points have campaign and user", "R30"))
_SCHEME_FIELDS = {"flat": "flat", "percent": "percent", "points": "per", "per": "per", "random": "random"}
_SCHEME_RULES = {"flat": "R20", "percent": "R21", "per": "R22", "random": "R23"}
_AMOUNT_OF = 'the event property that is counted, such as "Amount"'
_SYSTEM_KEYS = tuple(fact.value for fact in Fact if fact is not Fact.USER_ID)
_REFERENCES = {"user.id": Fact.USER_ID, "campaign.id": Fact.CAMPAIGN_ID, "campaign.name": Fact.CAMPAIGN_NAME}
_REFERENCE_FORM = "event.<property>, user.<property>, user.id, campaign.id or campaign.name"


def points(outer: Part, where: tzinfo) -> Points | None:
    """Return the reward; not to be used where a problem was found."""
    reward = part(outer, "points", "R11")
    if reward is None:
        return None
    reward.only(_FIELDS, misplaced=_OF_OTHER_REWARDS)
    wallet = identifier(reward, "wallet", "R19", wanted="the id of the wallet that receives the points")
    scheme, earn = _earn(reward)
    most_milli = amount(reward, "max_per_reward", "R26")
    if "max_per_reward" in reward and scheme in {"flat", "random"}:
        reward.error("max_per_reward", f"belongs to percent and per only, not to {scheme}", "R26")
    recurrence, budget = _recurrence(reward), _budget(reward)
    validity = _validity(reward, where)
    on_insufficient = word(reward, "on_insufficient", OnInsufficient, "R32")
    if "on_insufficient" in reward and "budget" not in reward:
        reward.error("on_insufficient", "stands only beside a budget", "R32")
    metadata = _metadata(reward)
    if wallet is None or earn is None:
        return None
    return Points(wallet, earn, most_milli, recurrence, validity, budget, on_insufficient or OnInsufficient.REJECT, metadata)


def _earn(reward: Part) -> tuple[str | None, Earn | None]:
    earn = part(reward, "earn", "R20", wanted="one of flat, percent, per, random")
    if earn is None:
        return None, None
    schemes = list(dict.fromkeys(scheme for field, scheme in _SCHEME_FIELDS.items() if field in earn))
    known: tuple[str, ...] = ("flat", "percent", "points", "per", "of", "random")
    misplaced = {
        name: (f"belongs inside random: random: {{{name}: …}}", "R23" if name != "favor" else "R25") for name in ("min", "max", "favor")
    }
    if len(schemes) != 1:
        earn.only(known, misplaced=misplaced)
        said = f"{' and '.join(schemes)} stand together" if schemes else "there is none"
        earn.findings.error(earn.path, f"exactly one scheme of flat, percent, per, random is wanted, but {said}", "R20")
        return None, None
    scheme = schemes[0]
    if scheme in {"flat", "random"}:
        misplaced["of"] = (f"belongs to percent and per, not to {scheme}", _SCHEME_RULES[scheme])
        known = (scheme,)
    earn.only(known, misplaced=misplaced)
    match scheme:
        case "flat":
            milli = amount(earn, "flat", "R20")
            return scheme, Flat(milli) if milli is not None else None
        case "percent":
            milli, of = amount(earn, "percent", "R21", most_milli=MOST_MILLI), _property(earn, "R21")
            return scheme, Percent(milli, of) if milli is not None and of is not None else None
        case "per":
            given = amount(earn, "points", "R22", wanted="how many points", most_milli=MOST_MILLI)
            unit, of = amount(earn, "per", "R22", wanted="for how much", most_milli=MOST_MILLI), _property(earn, "R22")
            return scheme, Per(given, unit, of) if given is not None and unit is not None and of is not None else None
        case _:
            return scheme, _random(earn)


def _property(earn: Part, rule: str) -> str | None:
    return text(earn, "of", rule, wanted=_AMOUNT_OF, longest=LONGEST_PROPERTY)


def _random(earn: Part) -> Random | None:
    drawn = part(earn, "random", "R23")
    if drawn is None:
        return None
    drawn.only(("min", "max", "favor"))
    low = amount(drawn, "min", "R23", wanted="the least that is given")
    high = amount(drawn, "max", "R23", wanted="the most that is given")
    favor = word(drawn, "favor", Favor, "R25", wanted="min, avg or max")
    if low is not None and high is not None and low >= high:
        drawn.error("max", f"{shown(drawn.fields['max'])} is not more than min, {shown(drawn.fields['min'])}", "R23")
        return None
    return Random(low, high, favor) if low is not None and high is not None and favor is not None else None


def _recurrence(reward: Part) -> Recurrence:
    limits = part(reward, "recurrence", "R27")
    if limits is None:
        return Recurrence()
    limits.only(("total", "day", "week", "month"))
    if not limits.fields:
        reward.error("recurrence", "is empty: give total, day, week or month, or leave it out", "R27")
    return Recurrence(*(count(limits, name, "R27") for name in ("total", "day", "week", "month")))


def _budget(reward: Part) -> Budget:
    limits = part(reward, "budget", "R30")
    if limits is None:
        return Budget()
    limits.only(("campaign", "user"), misplaced=_PERIODS)
    if not limits.fields:
        reward.error("budget", "is empty: give campaign or user, or leave it out", "R30")
    campaign, user = amount(limits, "campaign", "R30"), amount(limits, "user", "R31")
    if campaign is not None and user is not None and user > campaign:
        limits.error("user", f"{shown(limits.fields['user'])} is more than the campaign's, {shown(limits.fields['campaign'])}", "R31")
    return Budget(campaign, user)


def _validity(reward: Part, where: tzinfo) -> Validity:
    validity = part(reward, "validity", "R29")
    if validity is None:
        return Validity()
    validity.only(("activate_after", "expire_after", "expire_on"))
    if "expire_after" in validity and "expire_on" in validity:
        reward.error("validity", "expire_after and expire_on stand together: give one of them", "R29")
    return Validity(
        duration(validity, "activate_after", "R28") or 0,
        duration(validity, "expire_after", "R29"),
        instant(validity, "expire_on", where, "R29"),
    )


def _metadata(reward: Part) -> tuple[MetadataRow, ...]:
    rows: list[MetadataRow] = []
    seen: set[str] = set()
    for row in parts(reward, "metadata", "R33"):
        row.only(("key", "value", "from", "system"))
        mode = row.one_of(("value", "from", "system"), "R33", "source")
        if mode == "system" and "key" in row:
            row.error("key", "a system key has no other key: leave it out", "R33")
        name = "system" if mode == "system" else "key"
        key = text(row, name, "R33", wanted="" if mode is None else "the key", longest=10**6)
        key = key.strip() if key is not None else None
        source = _source(row, mode, key)
        if key == "":
            row.error(name, "is empty after trimming", "R33")
        elif key is not None and key in seen:
            row.error(name, f"the key {shown(key)} is given twice", "R33")
        elif key is not None:
            seen.add(key)
            if source is not None:
                rows.append(MetadataRow(key, source))
    return tuple(rows)


def _source(row: Part, mode: str | None, key: str | None) -> Literal | EventProperty | UserProperty | FactOf | None:
    match mode:
        case "value":
            value = scalar(row.findings, row.fields["value"], row.at("value"), "R33")
            return Literal(value) if value is not None else None
        case "from":
            return _reference(row)
        case "system" if key:
            if key in _SYSTEM_KEYS:
                return FactOf(Fact(key))
            row.error("system", f"{shown(key)} is no system key; there are {', '.join(_SYSTEM_KEYS)}", "R33")
    return None


def _reference(row: Part) -> EventProperty | UserProperty | FactOf | None:
    reference = text(row, "from", "R33")
    if reference is None:
        return None
    if reference in _REFERENCES:
        return FactOf(_REFERENCES[reference])
    whose, _, name = reference.partition(".")
    if whose not in {"event", "user"} or not name:
        row.error("from", f"{shown(reference)} is not {_REFERENCE_FORM}", "R33")
    elif len(name) > LONGEST_PROPERTY:
        row.error("from", f"the property's name has {len(name)} characters: at most {LONGEST_PROPERTY} are allowed", "R33")
    else:
        return EventProperty(name) if whose == "event" else UserProperty(name)
    return None
