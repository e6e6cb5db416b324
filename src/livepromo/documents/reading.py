"""What documents a file holds, and what is wrong with its text."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec

from livepromo.documents.json_text import NotJsonError, read_json
from livepromo.documents.values import NOWHERE, Place, Tree
from livepromo.documents.yaml_text import TextError, read_yaml
from livepromo.model.documents import CouponType, Document

Severity = Literal["error", "warning"]


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a document, where, and by which rule; `document` is kind/id, empty where it is not known."""

    file: str
    document: str
    path: str
    line: int
    column: int
    rule: str
    severity: Severity
    message: str

    @property
    def text(self) -> str:
        """Return the line that people read: `file: $.path: what is wrong [line 3, column 5] (R24)`."""
        severity = "warning: " if self.severity == "warning" else ""
        place = f" [line {self.line}, column {self.column}]" if self.line else ""
        rule = f" ({self.rule})" if self.rule else ""
        return f"{self.file}: {self.path}: {severity}{self.message}{place}{rule}"

    def as_json(self) -> dict[str, str]:
        """Return the fields that `check --json` writes."""
        return {
            "file": self.file,
            "document": self.document,
            "path": self.path,
            "rule": self.rule,
            "severity": self.severity,
            "message": self.message,
        }


class Written(NamedTuple):
    """A number as it was written, where, and the rule about it; `units` are thousandths of amounts, and counts as they are."""

    path: str
    written: object
    units: int
    rule: str


class Link(NamedTuple):
    """What a document refers to, by kind/id, and what it wants of it; `amounts` are judged by a wallet's decimals.

    `gives_codes`: a reward draws from its codes, at most `most_codes`.
    """

    path: str
    key: str
    rule: str
    external: bool | None = None
    coupon_type: CouponType | None = None
    amounts: tuple[Written, ...] = ()
    gives_codes: bool = False
    most_codes: Written | None = None


class ReadDocument(msgspec.Struct, frozen=True):
    """A document of a file: what was read, and what it means; `document` is None where problems were found in it.

    `links` are what it refers to, as far as it can be read; `advice` is what is not wrong but not advised (R71).
    """

    file: str
    key: str
    value: Any
    places: dict[str, Place]
    document: Document | None = None
    links: tuple[Link, ...] = ()
    advice: tuple[Problem, ...] = ()


def documents_of(read: list[ReadDocument]) -> list[Document]:
    """Return the documents in which no problem was found, in the order read."""
    return [one.document for one in read if one.document is not None]


def file_problem(file: str, message: str, place: Place = NOWHERE) -> Problem:
    """Return a problem with a whole file."""
    return Problem(file, "", "$", place.line, place.column, "", "error", message)


def written_key(value: object) -> str:
    """Return the kind/id that a document gives itself, sound or not; empty where it gives none."""
    kind, name = (value.get("kind"), value.get("id")) if isinstance(value, dict) else (None, None)
    return f"{kind}/{name}" if isinstance(kind, str) and isinstance(name, str) else ""


def read_text(content: bytes, file: str) -> tuple[list[ReadDocument], list[Problem]]:
    """Return the documents of a file's content, unchecked, and the problems with its text.

    YAML 1.2, of which JSON is a part; several documents may be in one. After an error of syntax nothing more is read; documents
    before it are.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = Place(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        return [], [file_problem(file, f"the byte 0x{content[error.start]:02x} is no UTF-8: save the file as UTF-8", place)]
    trees: list[Tree] = []
    problems: list[Problem] = []
    try:
        _read(text, trees)
    except TextError as error:
        problems.append(file_problem(file, error.message, error.place))
    if not trees and not problems:
        problems.append(file_problem(file, "holds no document: a document is a mapping with a kind and an id"))
    read = [ReadDocument(file, written_key(tree.value), tree.value, tree.places) for tree in trees]
    for document, tree in zip(read, trees, strict=True):
        for trouble in tree.troubles:
            line, column = trouble.place
            problems.append(Problem(file, document.key, trouble.path, line, column, "", "error", trouble.message))
    return read, problems


def _read(text: str, trees: list[Tree]) -> None:
    if text.lstrip(" \t\r\n")[:1] in ("{", "["):
        try:
            trees.extend(list(read_json(text)))
        except NotJsonError:
            pass
        else:
            return
    for tree in read_yaml(text):
        trees.append(tree)  # noqa: PERF402 - one by one: those before an error of syntax stay
