"""Processes to race with; and no test may leave a thread behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support.fetching import TIMEOUT_SECONDS
from tests.support.racing import Crew


@pytest.fixture(scope="session")
def crew() -> Iterator[Crew]:
    crew = Crew(4)
    yield crew
    crew.leave()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive(), f"left behind: {thread.name}"
