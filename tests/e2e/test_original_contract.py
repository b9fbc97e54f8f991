"""The two routes of the original, in shape and states, however gunicorn is started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.service import Service, gunicorn, running, until

from .conftest import write_sources

# With an hour between slots, and calls that take an hour or no time, every state stays to be seen.
SETTINGS = {"interval_seconds": 3600, "simulated_latency_seconds": 0}
SOURCES = """
[sources.whole]
[sources.half]
[sources.spent]
[sources.slow]
simulated_latency_seconds = 3600
"""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("1",), marks=pytest.mark.e2e),
        pytest.param(("4",), marks=pytest.mark.e2e),
        pytest.param(("1", "--preload"), marks=pytest.mark.faults),
        pytest.param(("4", "--preload"), marks=pytest.mark.faults),
    ],
    ids=" ".join,
)
def service(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    write_sources(folder, SOURCES)
    with running(folder, gunicorn("--workers", *request.param), **SETTINGS) as service:
        service.wait_for_log("dispatcher_started", count=int(request.param[0]))
        yield service


def test_answer_to_a_submission_has_the_shape_of_the_original(service: Service) -> None:
    answer = service.post("/ingest", {"ids": [1, 2, 3, 4, 5], "priority": "HIGH"})
    ingestion_id = answer.json()["ingestion_id"]
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["Location"] == f"/status/{ingestion_id}"
    assert isinstance(ingestion_id, str)


@pytest.mark.parametrize(
    ("source", "ids", "status", "batches"),
    [
        ("whole", [1, 2, 3], "completed", [([1, 2, 3], "completed")]),
        (
            "half",
            [1, 2, 3, 4, 5],
            "triggered",
            [([1, 2, 3], "completed"), ([4, 5], "yet_to_start")],
        ),
        (
            "slow",
            [7, 7, "a", 9007199254740993],
            "triggered",
            [([7, 7, "a"], "triggered"), ([9007199254740993], "yet_to_start")],
        ),
        (
            "spent",
            [6, 7, 8, 9],
            "yet_to_start",
            [([6, 7, 8], "yet_to_start"), ([9], "yet_to_start")],
        ),
    ],
    ids=["all-completed", "one-completed", "one-triggered", "none-started"],
)
def test_status_has_the_shape_and_states_of_the_original(
    service: Service, source: str, ids: list[object], status: str, batches: list[Any]
) -> None:
    if source == "spent":
        _spend_slot_of_the_hour(service, source)
    ingestion_id = service.ingest(ids, "MEDIUM", source=source)
    expected = {
        "ingestion_id": ingestion_id,
        "status": status,
        "batches": [(batch_ids, batch_status) for batch_ids, batch_status in batches],
    }
    until(lambda: _shape(service.status(ingestion_id)) == expected, f"status {expected}")


def _spend_slot_of_the_hour(service: Service, source: str) -> None:
    ingestion_id = service.ingest([0], source=source)
    until(lambda: service.status(ingestion_id)["status"] == "completed", "the slot is spent")


def test_batch_ids_differ(service: Service) -> None:
    ingestions = [service.ingest([1, 2, 3, 4]) for _ in range(2)]
    found = [batch["batch_id"] for one in ingestions for batch in service.status(one)["batches"]]
    assert len(set(found)) == 4


def test_unknown_ingestion_is_404(service: Service) -> None:
    answer = service.get("/status/nothing")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def _shape(answer: dict[str, Any]) -> dict[str, Any]:
    batches = [(batch["ids"], batch["status"]) for batch in answer["batches"]]
    assert all(isinstance(batch["batch_id"], str) for batch in answer["batches"])
    return {
        "ingestion_id": answer["ingestion_id"],
        "status": answer["status"],
        "batches": batches,
    }
