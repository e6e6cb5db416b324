"""What a JSON text says, and where it says it; YAML's reader does not understand all of JSON (tabs, surrogate pairs)."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from livepromo.documents.values import Place, Tree, Trouble, key_path, number, shown
from livepromo.documents.yaml_text import DEEPEST, TextError

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile("true|false|null")
_decode_at = json.JSONDecoder().raw_decode
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class NotJsonError(ValueError):
    """A text that is no JSON; it may be YAML still."""


class _Reader:
    """A cursor in a text; `places` and `troubles` are those of the document being read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self._places: dict[str, Place] = {}
        self._troubles: list[Trouble] = []

    def trees(self) -> Iterator[Tree]:
        """Yield the document, or those of the list at the top."""
        if self._next() == "[":
            for _ in self._members("]"):
                yield self._tree()
        else:
            yield self._tree()
        if self._next():
            raise NotJsonError

    def _tree(self) -> Tree:
        self._places, self._troubles = {}, []
        value = self._value("$", 1)
        return Tree(value, self._places, tuple(self._troubles))

    def _place(self) -> Place:
        line = bisect_right(self._lines, self._at)
        return Place(line, self._at - self._lines[line - 1] + 1)

    def _next(self) -> str:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return self._text[self._at : self._at + 1]

    def _members(self, end: str) -> Iterator[int]:
        """Step through a list or an object, to the start of each member and over its end."""
        self._at += 1
        count = 0
        if self._next() != end:
            while True:
                yield count
                count += 1
                after = self._next()
                if after == end:
                    break
                if after != ",":
                    raise NotJsonError
                self._at += 1
                self._next()
        self._at += 1

    def _string(self, path: str) -> str:
        place = self._place()
        text: str
        try:
            text, self._at = _decode_at(self._text, self._at)
        except json.JSONDecodeError:
            raise NotJsonError from None
        if _LONE_SURROGATE.search(text):
            self._troubles.append(Trouble(path, place, "a text with half of a surrogate pair is no valid Unicode"))
            text = _LONE_SURROGATE.sub("\ufffd", text)
        return text

    def _value(self, path: str, depth: int) -> Any:  # noqa: ANN401 - any JSON value
        first = self._next()
        place = self._places[path] = self._place()
        if first == '"':
            return self._string(path)
        if first in ("{", "[") and depth > DEEPEST:
            raise TextError(place, f"nested more than {DEEPEST} deep")
        if first == "{":
            return self._object(path, depth)
        if first == "[":
            return [self._value(f"{path}[{index}]", depth + 1) for index in self._members("]")]
        if found := _NUMBER.match(self._text, self._at):
            self._at = found.end()
            return number(found[0])
        if found := _WORD.match(self._text, self._at):
            self._at = found.end()
            return _WORDS[found[0]]
        raise NotJsonError

    def _object(self, path: str, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for _ in self._members("}"):
            place = self._place()
            if self._text[self._at : self._at + 1] != '"':
                raise NotJsonError
            key = self._string(path)
            if self._next() != ":":
                raise NotJsonError
            self._at += 1
            at = key_path(path, key)
            if key in fields:
                self._troubles.append(Trouble(at, place, f"{shown(key)} is given twice"))
                kept, self._places = self._places, {}  # the places are those of the first
                self._value(at, depth + 1)
                self._places = kept
            else:
                fields[key] = self._value(at, depth + 1)
        return fields


def read_json(text: str) -> Iterator[Tree]:
    """Yield the documents of a JSON text. Raises NotJsonError, or TextError where it is nested too deep."""
    yield from _Reader(text).trees()
