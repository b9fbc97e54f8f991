"""What random faults are made from; all of it can be given again to repeat a run."""

from __future__ import annotations

import secrets

import pytest


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """Where the random numbers begin; shown with a failure."""
    given = pytestconfig.getoption("--seed")
    chosen = secrets.randbelow(10**6) if given is None else int(given)
    print(f"seed: {chosen} (repeat with --seed {chosen})")
    return chosen


@pytest.fixture
def kill_count(pytestconfig: pytest.Config) -> int:
    """How often the soak kills."""
    return int(pytestconfig.getoption("--kills"))
