"""An upstream that fails in every way there is: what is called, counted, stored, and how often."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.behaviours import (
    Answer,
    Behaviour,
    Call,
    at_first,
    at_first_for_each,
    at_random,
    dripping,
    for_ids,
    hangs_up,
    html,
    lying,
    row_of,
    says,
    slow,
)
from tests.support.faulty_upstream import Upstream
from tests.support.outcomes import attempts, fetched, figures, outcomes, records, source_row, states
from tests.support.service import Service, until

from .conftest import Tell, check_all_fetched, ingesting

pytestmark = pytest.mark.upstream

IMPATIENT = {"timeout_seconds": 1}
BREAKER_FAILURE_COUNT = 5
SHORTEST_BACKOFF_SECONDS = 0.5
CALL_SECONDS = 1.0
"""Several slots long, so that others could be called while one is under way."""


@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        pytest.param(slow(10), IMPATIENT, id="no answer in time"),
        pytest.param(dripping(0.1), IMPATIENT, id="bytes come in time, the answer does not"),
        pytest.param(lying, {}, id="shorter than its Content-Length"),
        pytest.param(html, {}, id="a page for people with status 200"),
        pytest.param(says(200, '{"rows": [{"id": 1'), {}, id="JSON that ends too soon"),
        pytest.param(says(200, '{"error": "try later"}'), {}, id="an error with status 200"),
        pytest.param(says(200, ""), {}, id="nothing with status 200"),
        pytest.param(says(500), {}, id="its own failure"),
        pytest.param(says(503), {}, id="unavailable, for how long it does not say"),
        pytest.param(hangs_up, {}, id="no answer at all"),
    ],
)
def test_call_without_a_usable_answer_costs_an_attempt_and_is_made_again(
    tmp_path: Path, upstream: Upstream, fault: Behaviour, settings: dict[str, object], tell: Tell
) -> None:
    # Not for the first two calls: on a busy machine both may be for the same batch.
    upstream.behaviour = at_first_for_each(fault)
    with ingesting(tmp_path, upstream, **settings) as service:
        service.ingest(range(1, 7))
        service.wait_until_all_ended()
    tell(**figures(service.database, len(upstream.calls)))
    assert outcomes(service.database) == {"retried": 2, "completed": 2}
    assert attempts(service.database) == [2, 2]
    assert Counter(upstream.asked_for()) == dict.fromkeys(range(1, 7), 2)
    check_all_fetched(service.database, range(1, 7))


def test_upstream_that_is_down_is_left_alone_more_and_more_and_then_answers(
    tmp_path: Path, upstream: Upstream, tell: Tell
) -> None:
    upstream.go_down()
    with ingesting(tmp_path, upstream, max_attempts=100) as service:
        service.ingest(range(1, 31))
        until(lambda: failure_count(service) > BREAKER_FAILURE_COUNT, "the breaker is open")
        assert "refused" in source_row(service.database)["last_error"]
        upstream.come_up()
        service.wait_until_all_ended()
    tell(**figures(service.database, len(upstream.calls)))
    assert failure_count(service) == 0
    assert Counter(upstream.asked_for()) == dict.fromkeys(range(1, 31), 1)
    assert set(outcomes(service.database)) == {"retried", "completed"}
    check_all_fetched(service.database, range(1, 31))


def test_batch_whose_attempts_are_used_up_has_failed_and_says_why_for_each_id(
    tmp_path: Path, upstream: Upstream, tell: Tell
) -> None:
    upstream.behaviour = for_ids([5], says(500))
    with ingesting(tmp_path, upstream, max_attempts=3) as service:
        service.ingest(range(1, 7))
        service.wait_until_all_ended()
    tell(**figures(service.database, len(upstream.calls)))
    assert states(service.database) == ["completed", "failed"]
    assert attempts(service.database) == [1, 3]
    assert outcomes(service.database) == {"completed": 1, "retried": 2, "failed": 1}
    assert [one.outcome for one in records(service.database)] == ["fetched"] * 3 + ["error"] * 3
    assert "500" in records(service.database)[4].error


def test_breaker_lets_one_call_through_at_a_time(
    tmp_path: Path, upstream: Upstream, tell: Tell
) -> None:
    failing_count = BREAKER_FAILURE_COUNT + 3
    fails_slowly = at_first(failing_count, fails_after_a_while)
    upstream.behaviour = at_first(BREAKER_FAILURE_COUNT, says(500), fails_slowly)
    # Long enough to record a failure before the next slot, and shorter than the shortest pause.
    with ingesting(tmp_path, upstream, interval_seconds=0.3, max_attempts=100) as service:
        service.ingest(range(1, 31))
        ledger = service.wait_until_all_ended()
    calls = upstream.calls
    gaps = [later.boot_seconds - earlier.boot_seconds for earlier, later in pairwise(calls)]
    tell(**figures(service.database, len(calls)), gaps=[round(gap, 2) for gap in gaps])
    assert gaps[BREAKER_FAILURE_COUNT - 1] >= SHORTEST_BACKOFF_SECONDS
    one_at_a_time_seconds = CALL_SECONDS + SHORTEST_BACKOFF_SECONDS
    assert min(gaps[BREAKER_FAILURE_COUNT:failing_count]) >= one_at_a_time_seconds
    assert statistics.median(gaps) < SHORTEST_BACKOFF_SECONDS  # before, and after one success
    assert outcomes(service.database) == {"retried": failing_count, "completed": 10}
    assert len(ledger.calls()) == len(calls)
    check_all_fetched(service.database, range(1, 31))


def test_random_failures_cost_attempts_and_nothing_else(
    tmp_path: Path, upstream: Upstream, tell: Tell
) -> None:
    upstream.behaviour = at_random(7, 0.3, says(500))
    with ingesting(tmp_path, upstream, max_attempts=100) as service:
        service.ingest(range(1, 91))
        service.wait_until_all_ended()
    tell(**figures(service.database, len(upstream.calls)))
    assert sum(attempts(service.database)) == len(upstream.calls)
    failed = outcomes(service.database)["retried"]
    assert outcomes(service.database) == {"retried": failed, "completed": 30}
    assert len(upstream.calls) == 30 + failed
    check_all_fetched(service.database, range(1, 91))


def test_only_the_id_that_was_not_fetched_is_asked_for_again(
    tmp_path: Path, upstream: Upstream, tell: Tell
) -> None:
    upstream.behaviour = for_ids([2], at_first(4, says(500)))
    with ingesting(tmp_path, upstream, "/items/{id}", batch_size=4) as service:
        service.ingest([1, 2, 3, 4])
        service.wait_until_all_ended()
    tell(**figures(service.database, len(upstream.calls)))
    assert upstream.asked_for() == [1, 2, 3, 4, 2]
    assert outcomes(service.database) == {"retried": 1, "completed": 1}
    assert attempts(service.database) == [2]
    check_all_fetched(service.database, [1, 2, 3, 4])


def test_id_that_always_fails_takes_nothing_from_the_others_of_its_batch(
    tmp_path: Path, upstream: Upstream, tell: Tell
) -> None:
    upstream.behaviour = for_ids([2], says(500))
    with ingesting(tmp_path, upstream, "/items/{id}", batch_size=4, max_attempts=3) as service:
        service.ingest([1, 2, 3, 4])
        service.wait_until_all_ended()
    tell(**figures(service.database, len(upstream.calls)))
    assert upstream.asked_for() == [1, 2, 3, 4, 2, 2]
    assert states(service.database) == ["failed"]
    assert outcomes(service.database) == {"retried": 2, "failed": 1}
    check_fetched_but_for(service.database, "error")


@pytest.mark.parametrize(
    ("status", "outcome", "state"),
    [
        pytest.param(404, "missing", "completed", id="there is no such ID"),
        pytest.param(410, "missing", "completed", id="there is no such ID any more"),
        pytest.param(403, "error", "failed", id="this ID is not for us"),
        pytest.param(400, "error", "failed", id="this ID makes no sense there"),
    ],
)
def test_refusal_of_one_id_is_final_and_concerns_it_alone(
    tmp_path: Path, upstream: Upstream, status: int, outcome: str, state: str, tell: Tell
) -> None:
    upstream.behaviour = for_ids([2], says(status))
    with ingesting(tmp_path, upstream, "/items/{id}", batch_size=4) as service:
        service.ingest([1, 2, 3, 4])
        service.wait_until_all_ended()
    tell(**figures(service.database, len(upstream.calls)))
    assert upstream.asked_for() == [1, 2, 3, 4]
    assert states(service.database) == [state]
    assert attempts(service.database) == [1]
    check_fetched_but_for(service.database, outcome)


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_refusal_of_a_batch_is_final(
    tmp_path: Path, upstream: Upstream, status: int, tell: Tell
) -> None:
    upstream.behaviour = at_first(1, says(status))
    with ingesting(tmp_path, upstream) as service:
        service.ingest(range(1, 7))
        service.wait_until_all_ended()
    tell(**figures(service.database, len(upstream.calls)))
    assert states(service.database) == ["failed", "completed"]
    assert outcomes(service.database) == {"failed": 1, "completed": 1}
    assert Counter(upstream.asked_for()) == dict.fromkeys(range(1, 7), 1)
    assert [one.outcome for one in records(service.database)] == ["error"] * 3 + ["fetched"] * 3
    assert all(str(status) in one.error for one in records(service.database)[:3])


def fails_after_a_while(call: Call) -> Answer:
    """Its own failure, which takes time."""
    return replace(says(500)(call), delay_seconds=CALL_SECONDS)


def failure_count(service: Service) -> int:
    """How many failures on end the source has had."""
    return int(source_row(service.database)["failure_count"])


def check_fetched_but_for(database: Path, outcome: str) -> None:
    """All of the IDs 1 to 4 but for the second."""
    assert [one.outcome for one in records(database)] == ["fetched", outcome, "fetched", "fetched"]
    assert fetched(database) == [(item, row_of(item)) for item in (1, 3, 4)]
