from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ingest_app.queue import batch_listing
from ingest_app.queue.claim import Claim, claim_next_batch
from ingest_app.queue.settle import release_batch
from ingest_app.runtime import runtime_of

from .conftest import check_problem

Submit = Callable[..., str]


def positions(client: FlaskClient, address: str) -> list[list[int]]:
    """The positions on each page, following the links."""
    found: list[list[int]] = []
    next_address: str | None = address
    while next_address:
        answer = client.get(next_address)
        found.append([batch["position"] for batch in answer.json["batches"]])
        link = re.fullmatch('<(.*)>; rel="next"', answer.headers.get("Link", ""))
        next_address = link[1] if link else None
    return found


def test_batches_are_told_with_their_dispatches(
    app: Flask, client: FlaskClient, submit: Submit
) -> None:
    ingestion_id = submit([1, "B7", 3, 4])
    runtime = runtime_of(app)
    source = runtime.settings.sources["default"]
    claim = claim_next_batch(runtime.database, source, worker="worker", clock=runtime.clock)
    assert isinstance(claim, Claim)
    release_batch(runtime.database, claim, reason="stopping", called=None, clock=runtime.clock)
    first, second = client.get(f"/ingestions/{ingestion_id}/batches").json["batches"]
    assert re.fullmatch(r".{10}T.{8}\.\d{6}Z", first.pop("triggered_at"))
    assert re.fullmatch(r".{10}T.{8}\.\d{6}Z", first["dispatches"][0].pop("finished_at"))
    waits = {
        "status": "yet_to_start",
        "attempt_count": 0,
        "completed_at": None,
        "not_before": None,
        "last_error": None,
    }
    released = {
        "attempt": 1,
        "worker": "worker",
        "dispatched_at": None,
        "outcome": "released",
        "error": "stopping",
    }
    assert first == {
        "batch_id": f"{ingestion_id}-1",
        "position": 1,
        "ids": [1, "B7", 3],
        **waits,
        "dispatches": [released],
    }
    assert second == {
        "batch_id": f"{ingestion_id}-2",
        "position": 2,
        "ids": [4],
        **waits,
        "triggered_at": None,
        "dispatches": [],
    }


def test_next_links_lead_through_all_batches_once(client: FlaskClient, submit: Submit) -> None:
    address = f"/ingestions/{submit(list(range(15)))}/batches"
    assert positions(client, f"{address}?limit=2") == [[1, 2], [3, 4], [5]]
    assert positions(client, f"{address}?limit=2&after=3") == [[4, 5]]
    assert positions(client, address) == [[1, 2, 3, 4, 5]]


def test_short_page_has_a_link_that_keeps_what_was_asked_for(
    client: FlaskClient, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_listing, "MOST_LOOKED_AT", 2)
    address = f"/ingestions/{submit(list(range(15)))}/batches?status=failed"
    assert positions(client, address) == [[], [], []]
    link = client.get(address).headers["Link"]
    assert all(part in link for part in ("status=failed", "after=2", "limit=100"))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param("limit=0", "limit", id="a page of nothing"),
        pytest.param("limit=1001", "limit", id="more than a page"),
        pytest.param("after=-1", "after", id="before the first"),
        pytest.param("after=9223372036854775808", "after", id="no number of the database's"),
        pytest.param("status=done", "status", id="no state"),
        pytest.param("status=", "status", id="empty is not any"),
    ],
)
def test_a_bad_query_is_refused(
    client: FlaskClient, submit: Submit, query: str, field: str
) -> None:
    problem = check_problem(client.get(f"/ingestions/{submit([1])}/batches?{query}"), 422)
    assert list(problem["errors"]) == [field]


def test_largest_page_and_farthest_position_are_taken(client: FlaskClient, submit: Submit) -> None:
    address = f"/ingestions/{submit([1])}/batches"
    assert positions(client, f"{address}?limit=1000") == [[1]]
    assert positions(client, f"{address}?after=9223372036854775807") == [[]]
