"""What `ingest submit` says when there was too much of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from ingest_app.access.counters import Counters
from ingest_app.access.keys import create_key
from ingest_app.runtime import runtime_of
from ingest_app.states import Role
from ingest_app.web.limits import use_counters
from tests.support.adapters import AppAdapter, Said, Scripted
from tests.support.clocks import FakeClock

from .conftest import one_line, runner_of

LATER = "Later, run the same command with --key 'k', and nothing is stored twice."

TOO_MANY = "At most 3 IDs of your ingestions that have not ended are allowed; there are 2,"

NewKey = Callable[..., dict[str, str]]


@pytest.fixture
def new_key(app: Flask, clock: FakeClock) -> NewKey:
    """The environment of a submitter with these limits; time stands still."""
    runtime = runtime_of(app)
    use_counters(app, Counters(Path(app.instance_path) / "ingest.db", clock))

    def new_key(**limits: Any) -> dict[str, str]:
        clock = runtime.clock
        token = create_key(runtime.database, "anna", Role.SUBMITTER, clock=clock, **limits)
        return {"INGEST_API_KEY": token.text}

    return new_key


class Counting(AppAdapter):
    """Counts what is sent."""

    sent_count = 0

    def send(self, *given: object, **more: object) -> object:  # type: ignore[override]
        self.sent_count += 1
        return super().send(*given, **more)  # type: ignore[arg-type]


def test_too_many_under_way_is_told_at_once(app: Flask, new_key: NewKey) -> None:
    network, environ = Counting(app), new_key(max_waiting_ids=3)
    run = runner_of(network)
    assert run("submit", 1, 2, env=environ).exit_code == 0
    line = one_line(run("submit", 3, 4, "--key", "k", env=environ), 4)
    assert line.startswith(TOO_MANY)
    assert line.endswith(LATER)
    assert network.sent_count == 2  # a minute is too long to wait


def test_part_that_is_too_much_is_told_with_what_is_stored(app: Flask, new_key: NewKey) -> None:
    environ = new_key(max_waiting_ids=3)
    result = runner_of(AppAdapter(app))("submit", "--most", 2, 1, 2, 3, 4, env=environ)
    assert (result.exit_code, len(result.stdout.splitlines())) == (4, 1)
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"ingest: Part 2: {TOO_MANY}")
    assert "1 submission is stored. To go on, run the same command with --key" in last


def test_more_than_may_ever_be_under_way_is_refused(app: Flask, new_key: NewKey) -> None:
    result = runner_of(AppAdapter(app))("submit", 1, 2, 3, 4, env=new_key(max_waiting_ids=3))
    assert one_line(result, 3).endswith("this submission alone has 4: submit fewer at once.")


def test_too_many_requests_are_told_at_once_when_it_takes_long(app: Flask, new_key: NewKey) -> None:
    network, environ = Counting(app), new_key(max_requests_per_minute=1)
    run = runner_of(network)
    assert run("submit", 1, env=environ).exit_code == 0
    line = one_line(run("submit", 2, "--key", "k", env=environ), 4)
    assert (
        line == f"This API key may make 1 requests a minute, and has; the next one in 60 s. {LATER}"
    )
    assert network.sent_count == 2


def test_short_wait_is_waited() -> None:
    busy = Said(429, headers={"Retry-After": "20"})
    network = Scripted(busy, Said(200, b'{"ingestion_id": "a"}'))
    assert runner_of(network)("submit", 1).stdout == "a\n"


def test_waiting_ends() -> None:
    network = Scripted(*[Said(429, headers={"Retry-After": "20"})] * 5)
    assert runner_of(network)("submit", 1).exit_code == 4
    assert len(network.requests) == 5
