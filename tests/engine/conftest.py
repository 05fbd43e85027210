"""The C++ step, compiled once for all tests that want it; and a room for workers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from workers import Room, a_room

from tinychat.engine import native_build

TYPES = (("float", "float"), ("uint16_t", "uint16_t"), ("int8_t", "float"))


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache home in which all libraries are built; where no compiler is, the test is skipped."""
    home = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        home = home.parent  # one build for all workers
    home /= "libraries"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home))
        try:
            native_build.compiler()
        except native_build.BuildFailed as error:
            pytest.skip(str(error))
        with ThreadPoolExecutor() as pool:
            list(pool.map(_built, TYPES))
    return home


def _built(types: tuple[str, str]) -> None:
    while native_build.build(*types) is None:
        time.sleep(0.1)  # another worker is at it


@pytest.fixture
def native(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`step="native"` is there at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(libraries))


@pytest.fixture
def room() -> Iterator[Room]:
    yield from a_room()
