"""The state of an ingestion, derived from its batches."""

from __future__ import annotations

import json
from collections.abc import Collection
from itertools import combinations
from typing import Any

import pytest

from ingest_app.errors import UnknownIngestion
from ingest_app.queue.reading import IngestionStatus, read_status
from ingest_app.states import BatchStatus
from tests.support.queues import Queue


def lines(status: IngestionStatus) -> list[dict[str, Any]]:
    """The batches, whichever way they were read."""
    text = ",".join(status.parts)
    found: list[dict[str, Any]] = json.loads(f"[{text}]")
    return found


MIXTURES = [
    mixture
    for count in range(1, len(BatchStatus) + 1)
    for mixture in combinations(BatchStatus, count)
]


def derived(states: Collection[BatchStatus]) -> str:
    """The rule as the glossary words it."""
    if set(states) == {BatchStatus.YET_TO_START}:
        return "yet_to_start"
    if {BatchStatus.YET_TO_START, BatchStatus.TRIGGERED} & set(states):
        return "triggered"
    for ended in (BatchStatus.FAILED, BatchStatus.CANCELLED):
        if ended in states:
            return str(ended)
    return "completed"


def put(queue: Queue, position: int, state: BatchStatus) -> None:
    """Put the batch at this position into a state, as a person with `sqlite3` would."""
    leased = state is BatchStatus.TRIGGERED
    queue.change(
        "UPDATE batches SET status = :state, claim_token = :token, lease_expires_at = :until"
        " WHERE position = :position",
        state=state.value,
        token="t" if leased else None,
        until="2026-03-01 12:00:30.000000" if leased else None,
        position=position,
    )


@pytest.mark.parametrize("mixture", MIXTURES, ids="+".join)
def test_state_is_derived_from_all_batches(queue: Queue, mixture: tuple[BatchStatus, ...]) -> None:
    states = [*mixture, mixture[0]]  # one state twice
    ingestion_id = queue.submit(range(3 * len(states)))
    for position, state in enumerate(states, start=1):
        put(queue, position, state)
    status = read_status(queue.database, ingestion_id)
    assert status.status == derived(states)
    assert [line["status"] for line in lines(status)] == states


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("yet_to_start yet_to_start", "yet_to_start"),
        ("triggered yet_to_start", "triggered"),
        ("completed yet_to_start", "triggered"),
        ("failed yet_to_start", "triggered"),
        ("cancelled yet_to_start", "triggered"),
        ("completed triggered", "triggered"),
        ("completed completed", "completed"),
        ("completed failed", "failed"),
        ("completed cancelled", "cancelled"),
        ("failed cancelled", "failed"),
        ("cancelled cancelled", "cancelled"),
    ],
)
def test_rule_for_the_derived_state(states: str, expected: str) -> None:
    assert derived([BatchStatus(state) for state in states.split()]) == expected


def test_batches_come_in_order_with_their_ids_as_text(queue: Queue) -> None:
    ingestion_id = queue.submit([3, "b", 1, 4])
    status = read_status(queue.database, ingestion_id)
    assert status.ingestion_id == ingestion_id
    assert status.batch_count == 2
    assert list(status.parts) == [
        f'{{"batch_id":"{ingestion_id}-1","ids":[3,"b",1],"status":"yet_to_start"}},'
        f'{{"batch_id":"{ingestion_id}-2","ids":[4],"status":"yet_to_start"}}'
    ]


@pytest.mark.parametrize(
    ("after", "limit", "positions"),
    [
        pytest.param(0, None, [1, 2, 3, 4, 5], id="all"),
        pytest.param(0, 2, [1, 2], id="the first page"),
        pytest.param(2, 2, [3, 4], id="the next page"),
        pytest.param(4, 2, [5], id="the last page, not full"),
        pytest.param(5, 2, [], id="after the last"),
        pytest.param(10**9, None, [], id="far after the last"),
        pytest.param(0, 0, [], id="the state only"),
        pytest.param(3, None, [4, 5], id="the rest"),
        pytest.param(0, 100, [1, 2, 3, 4, 5], id="a page larger than the ingestion"),
    ],
)
def test_pages_hold_the_batches_after_a_position(
    queue: Queue, after: int, limit: int | None, positions: list[int]
) -> None:
    ingestion_id = queue.submit(range(13))
    status = read_status(queue.database, ingestion_id, after=after, limit=limit)
    expected = [f"{ingestion_id}-{position}" for position in positions]
    assert [line["batch_id"] for line in lines(status)] == expected
    assert status.batch_count == 5


def test_state_on_a_page_is_that_of_all_batches(queue: Queue) -> None:
    ingestion_id = queue.submit(range(6))
    put(queue, 2, BatchStatus.COMPLETED)
    assert read_status(queue.database, ingestion_id, limit=1).status == "triggered"


def test_other_ingestions_do_not_show(queue: Queue) -> None:
    ingestion_id = queue.submit([1])
    queue.submit([2])
    assert [line["ids"] for line in lines(read_status(queue.database, ingestion_id))] == [[1]]


@pytest.mark.parametrize("ingestion_id", ["unknown", "", "' OR 1=1 --", "\ud7ff", "a\x00b"])
def test_unknown_ingestion_is_an_error_that_names_it(queue: Queue, ingestion_id: str) -> None:
    queue.submit()
    with pytest.raises(UnknownIngestion) as caught:
        read_status(queue.database, ingestion_id)
    assert caught.value.ingestion_id == ingestion_id
