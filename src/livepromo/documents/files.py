"""The documents of files, directories and standard input, read and checked one by one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from livepromo.documents.checking import check_document
from livepromo.documents.reading import Problem, ReadDocument, file_problem, read_text

STANDARD_INPUT = "-"
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def read_files(paths: Sequence[str | Path], account_zone: str) -> tuple[list[ReadDocument], list[Problem]]:
    """Return the documents of the files and every problem in them; of a directory, those of its YAML and JSON files, by name.

    Documents with problems are among them, with `document` None, so that what refers to them is not said to be missing.
    What documents say about one another is not judged here: `references.check_documents`.
    """
    read: list[ReadDocument] = []
    problems: list[Problem] = []
    for path in paths:
        for file in _files(str(path), problems):
            try:
                content = sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
            except (OSError, ValueError) as error:
                problems.append(file_problem(file, f"cannot be read: {_said(error)}"))
                continue
            documents, found = check_content(content, file, account_zone)
            read += documents
            problems += found
    return read, problems


def check_content(content: bytes, file: str, account_zone: str) -> tuple[list[ReadDocument], list[Problem]]:
    """Return the documents of a file's content, checked one by one, and every problem in them, in the order of their places."""
    documents, problems = read_text(content, file)
    broken = {problem.document for problem in problems}
    read = []
    for document in documents:
        checked, found = check_document(document, account_zone)
        read.append(msgspec.structs.replace(checked, document=None) if document.key in broken else checked)
        problems += found
    problems.sort(key=lambda problem: (problem.line, problem.column))
    return read, problems


def _files(path: str, problems: list[Problem]) -> list[str]:
    if path == STANDARD_INPUT:
        return [path]
    try:
        if not Path(path).is_dir():
            return [path]
        found = sorted(str(file) for file in Path(path).iterdir() if file.suffix in _SUFFIXES and not file.is_dir())
    except (OSError, ValueError) as error:
        problems.append(file_problem(path, f"cannot be read: {_said(error)}"))
        return []
    if not found:
        problems.append(file_problem(path, "holds no .yaml, .yml or .json file"))
    return found


def _said(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
