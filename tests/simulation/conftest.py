"""`pytest tests/simulation --seed N` runs one seed and prints its history."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--seed", type=int, default=None, help="run this seed of the fault simulation alone, and print its history")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the test of one seed the seed that was asked for."""
    if "asked_seed" in metafunc.fixturenames:
        metafunc.parametrize("asked_seed", [metafunc.config.getoption("--seed", default=None)])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run either the seed that was asked for, or everything but that test."""
    asked = config.getoption("--seed", default=None) is not None
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    others = [item for item in here if ("asked_seed" in getattr(item, "fixturenames", ())) is not asked]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
