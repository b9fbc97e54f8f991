"""Workers of their own that count in one file, or each in its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ingest_app.access.counters import Counters
from ingest_app.access.windows import Decision
from tests.support.clocks import FakeClock

LIMIT = 50
PATIENCE_SECONDS = 20.0
"""Of those that race: a slow machine must not look like a limit that lets through."""


def known(decision: Decision | None) -> Decision:
    """A decision that must have been made."""
    assert decision is not None
    return decision


def allowed_count(counters: Counters, times: int = LIMIT + 20) -> int:
    """How many of so many attempts are allowed."""
    return sum(known(counters.take("key a", LIMIT)).is_allowed for _ in range(times))


def spend_shared(path: Path) -> int:
    """What this process is allowed."""
    counters = Counters(path, FakeClock(), patience_seconds=PATIENCE_SECONDS)
    try:
        return allowed_count(counters)
    finally:
        counters.close()


def spend_alone(path: Path) -> int:
    """The same with a file of its own, as counters in memory would be."""
    own = path.with_name(f"{os.getpid()}.db")
    own.touch()
    return spend_shared(own)


def _count_on_both_sides_of_a_fork(path: Path) -> None:
    counters = Counters(path, FakeClock(), patience_seconds=PATIENCE_SECONDS)
    assert known(counters.take("key a", LIMIT)).remaining == LIMIT - 1
    child = os.fork()
    assert known(counters.take("key a", LIMIT)).is_allowed
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert known(counters.take("key a", LIMIT)).remaining == LIMIT - 4


if __name__ == "__main__":
    _count_on_both_sides_of_a_fork(Path(sys.argv[1]))
