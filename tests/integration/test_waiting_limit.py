"""The limit on IDs of ingestions that have not ended: under the write lock, and cheap."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from ingest_app.errors import MoreThanMayWait, TooManyWaiting
from ingest_app.queue import submit as submitting
from tests.support.queues import Queue
from tests.support.racing import in_threads

LIMIT = 10


def submitted(queue: Queue, count: int = 1, owner: str = "anna") -> bool:
    """True when it was stored."""
    try:
        queue.submit(range(count), submitted_by=owner, max_waiting_ids=LIMIT)
    except TooManyWaiting:
        return False
    return True


def under_way(queue: Queue) -> int:
    query = "SELECT sum(id_count) FROM ingestions WHERE ended_at IS NULL"
    return int(queue.rows(query)[0][0])


def submit_until_refused(queue: Queue) -> int:
    count = 0
    while count < 2 * LIMIT and submitted(queue):
        count += 1
    return count


def test_refusal_has_the_facts_and_stores_nothing(queue: Queue) -> None:
    assert submitted(queue, 8)
    with pytest.raises(TooManyWaiting) as refused:
        queue.submit(range(3), submitted_by="anna", max_waiting_ids=LIMIT)
    error = refused.value
    assert (error.limit, error.under_way_count, error.asked_count) == (LIMIT, 8, 3)
    assert under_way(queue) == 8
    with pytest.raises(MoreThanMayWait):
        queue.submit(range(LIMIT + 1), submitted_by="bert", max_waiting_ids=LIMIT)
    assert submitted(queue, LIMIT, owner="bert")


def test_ingestion_counts_whole_until_it_has_ended(queue: Queue) -> None:
    queue = queue.using(batch_size=6)
    assert submitted(queue, LIMIT)
    queue.complete(queue.claim_in_turn())
    assert not submitted(queue)
    queue.complete(queue.claim_in_turn())
    assert submitted(queue, LIMIT)


def test_large_submission_is_held_to_it_too(queue: Queue) -> None:
    queue = queue.using(batch_size=1)
    many = 2_000  # more than one pack
    queue.submit(range(many), submitted_by="anna", max_waiting_ids=many + 1)
    with pytest.raises(TooManyWaiting):
        queue.submit(range(many), submitted_by="anna", max_waiting_ids=2 * many - 1)
    assert under_way(queue) == many


def test_threads_that_submit_at_once_reach_the_limit_and_not_more(queue: Queue) -> None:
    assert sum(in_threads(8, lambda: submit_until_refused(queue))) == LIMIT
    assert under_way(queue) == LIMIT


def test_without_the_check_they_go_over_it(queue: Queue) -> None:
    """The negative control of the test above."""
    with patch.object(submitting, "_check_waiting", lambda *_: None):
        in_threads(8, lambda: submit_until_refused(queue))
    assert under_way(queue) > LIMIT


def test_sum_is_read_from_its_index_alone(queue: Queue) -> None:
    plan = queue.rows(
        "EXPLAIN QUERY PLAN SELECT coalesce(sum(ingestions.id_count), 0) FROM ingestions"
        " WHERE ingestions.submitted_by = 'anna' AND ingestions.ended_at IS NULL"
    )
    (step,) = [row[-1] for row in plan]
    assert step == (
        "SEARCH ingestions USING COVERING INDEX ix_ingestions_under_way"
        " (submitted_by=? AND ended_at=?)"
    )
