"""What a YAML 1.2 text says, and where it says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import yaml

from livepromo.documents.values import NOWHERE, UNREADABLE, Place, Tree, Trouble, key_path, number, shown

DEEPEST = 64
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_NO_NUMBERS = {
    **{sign + name: Decimal(sign + "Infinity") for sign in ("", "+", "-") for name in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), Decimal("NaN")),
}
_LONGEST_OTHER_BASE = 400
_NUMBER_STARTS = frozenset("+-.0123456789")
_TABS = "indent with blanks, not with tabs"
_PLAINLY = {
    "mapping values are not allowed in this context":
        "a colon and a blank stand where no key can be: put a text that has them in quotes, or mend the indentation",
    "could not find expected ':'": "a line of a mapping has no colon: write it as key: value, or put a text of several lines in quotes",
    "did not find expected key":
        "this does not continue what stands above: mend the indentation, or put all of a text that begins with a quote in quotes",
    "did not find expected '-' indicator": "this is no item of the list above: begin it with -, or mend the indentation",
    "did not find expected ',' or ']'": "the list that begins with [ goes wrong here: a comma or a ] is missing",
    "did not find expected ',' or '}'": "the mapping that begins with { goes wrong here: a comma or a } is missing",
    "did not find expected node content": "a value is missing here",
    "did not find expected <document start>": "something stands behind the end of the document: begin another one with ---",
    "block sequence entries are not allowed in this context": "no item of a list can begin here: begin it on a line of its own",
    "found character that cannot start any token": f"no value begins with this character: put a text that does in quotes, and {_TABS}",
    "found a tab character that violates indentation": _TABS,
    "found a tab character where an indentation space is expected": _TABS,
    "found unexpected end of stream": "the file ends within a text in quotes: its closing quote is missing",
    "found unknown escape character": "double quotes know no such escape: write two backslashes, or use single quotes",
    "found invalid Unicode character escape code": "this escape is no valid Unicode",
}  # fmt: skip
"""What libyaml says of common mistakes → what people are told."""


class TextError(ValueError):
    """A text that cannot be read from some place on."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


def plain_scalar(text: str) -> str | bool | int | Decimal | None:
    """Return what a plain scalar means in the core schema of YAML 1.2: `no` and dates are text, 0o17 is fifteen."""
    if text[:1] in _NUMBER_STARTS:
        if _NUMBER.fullmatch(text):
            return number(text)
        if text in _NO_NUMBERS:
            return _NO_NUMBERS[text]
        if _OTHER_BASE.fullmatch(text):
            return int(text, 0) if len(text) <= _LONGEST_OTHER_BASE else Decimal("Infinity")
        return text
    if text in _NULLS:
        return None
    return _BOOLEANS.get(text, text)


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    assert mark is not None, event
    return Place(mark.line + 1, mark.column + 1)


class _Reader:
    """Builds trees of libyaml's events; `places` and `troubles` are those of the document being built."""

    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=yaml.CBaseLoader)
        self._places: dict[str, Place] = {}
        self._troubles: list[Trouble] = []

    def trees(self) -> Iterator[Tree]:
        """Yield the documents; the items of a list at the top are documents themselves."""
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                root = next(self._events)
                if isinstance(root, yaml.SequenceStartEvent):
                    yield from self._items(root)
                else:
                    tree = self._tree(root)
                    if tree.value is not None or tree.troubles:  # nothing between two `---` is no document
                        yield tree

    def _items(self, root: yaml.SequenceStartEvent) -> Iterator[Tree]:
        self._troubles = []
        self._untagged(root, "$")
        troubles = tuple(self._troubles)
        if troubles:
            yield Tree(UNREADABLE, {"$": _place(root)}, troubles)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._tree(event)

    def _tree(self, root: yaml.Event) -> Tree:
        self._places, self._troubles = {}, []
        value = self._node(root, "$", 1)
        return Tree(value, self._places, tuple(self._troubles))

    def _untagged(self, event: yaml.NodeEvent, path: str) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._troubles.append(Trouble(path, _place(event), f"the tag {shown(tag)} is not allowed: leave it out"))

    def _node(self, event: yaml.Event, path: str, depth: int) -> Any:  # noqa: ANN401 - any YAML value
        place = self._places[path] = _place(event)
        if isinstance(event, yaml.ScalarEvent):
            if event.tag is not None:
                self._untagged(event, path)
            return plain_scalar(event.value) if event.implicit[0] else event.value
        if isinstance(event, yaml.AliasEvent):
            self._troubles.append(Trouble(path, place, f"the alias {shown(event.anchor)} is not allowed: write the value out"))
            return UNREADABLE
        if depth > DEEPEST:
            raise TextError(place, f"nested more than {DEEPEST} deep")
        assert isinstance(event, yaml.CollectionStartEvent), event
        self._untagged(event, path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, depth)
        items: list[Any] = []
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(item, f"{path}[{len(items)}]", depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise TextError(_place(event), f"a key of {path} is no text")
            key = event.value
            at = key_path(path, key)
            self._untagged(event, at)
            if key in fields:
                self._troubles.append(Trouble(at, _place(event), f"{shown(key)} is given twice"))
                kept, self._places = self._places, {}  # the places are those of the first
                self._node(next(self._events), at, depth + 1)
                self._places = kept
            else:
                fields[key] = self._node(next(self._events), at, depth + 1)
        return fields


def read_yaml(text: str) -> Iterator[Tree]:
    """Yield the documents of a YAML text. Raises TextError where it stops being YAML, or is nested too deep."""
    try:
        yield from _Reader(text).trees()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        said = error.problem or "this is not YAML"
        raise TextError(Place(mark.line + 1, mark.column + 1) if mark else NOWHERE, _PLAINLY.get(said, said)) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise TextError(place, f"the character U+{error.character:04X} is not allowed: escape it in a quoted text") from None
