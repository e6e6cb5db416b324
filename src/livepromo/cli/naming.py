"""How commands take names of documents and of people, and what they say of names that nothing has."""

from __future__ import annotations

import getpass
from collections.abc import Iterable
from difflib import get_close_matches

from livepromo.cli.errors import InputError

_MOST_NAMED = 5


def who(by: str | None) -> str:
    """Return who does something: as said with `--by`, else the login name."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def campaign_id(text: str) -> str:
    """Return the id of a campaign that is named as `cart-rescue` or `campaign/cart-rescue`."""
    return text.removeprefix("campaign/")


def unknown(what: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that nothing has, with one that was probably meant."""
    names = sorted(set(known))
    near = get_close_matches(name, names, n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    elif not names:
        hint = "nothing is published"
    else:
        hint = f"there {'is' if len(names) == 1 else 'are'} {', '.join(names[:_MOST_NAMED])}"
        hint += " and others" if len(names) > _MOST_NAMED else ""
    return InputError(f'there is no {what} "{name}": {hint}')
