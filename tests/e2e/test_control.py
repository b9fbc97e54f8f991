"""Pause, cancel and keys on real processes: what was answered holds in every worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from tests.support.ledger import Batch
from tests.support.service import Service, gunicorn, running, until

from .conftest import write_sources

pytestmark = pytest.mark.e2e

SETTINGS = {"interval_seconds": 0.05, "simulated_latency_seconds": 0.02}
TWO_WORKERS = gunicorn("--workers", "2")


def entry(answer: requests.Response) -> dict[str, object]:
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def dispatches(service: Service, source: str) -> int:
    return len(service.ledger().of_source(source).dispatches)


def completed_batches(service: Service) -> list[Batch]:
    return service.ledger().of_source("default").in_state("completed")


def test_no_worker_dispatches_what_is_paused_nor_what_was_cancelled(tmp_path: Path) -> None:
    write_sources(tmp_path, "[sources.other]\n")
    with running(tmp_path, TWO_WORKERS, **SETTINGS) as service:
        ingestion_id = service.ingest(range(3_000))
        service.ingest(range(3_000), source="other")
        service.wait_for_dispatches(5)
        entry(service.post("/sources/default/pause", None))
        count, others = dispatches(service, "default"), dispatches(service, "other")
        # Ten slots of the other source are ten of this one that were not used.
        service.wait_for_dispatches(others + 10, "other")
        assert dispatches(service, "default") == count

        entry(service.post("/sources/default/resume", None))
        until(lambda: len(completed_batches(service)) >= 10, "10 batches are completed")
        cancelled = entry(service.post(f"/ingestions/{ingestion_id}/cancel", None))
        assert cancelled["cancelled_at"] is not None
        service.wait_until_all_ended()
        assert entry(service.get(f"/ingestions/{ingestion_id}"))["status"] == "cancelled"

        headers = {"Accept": "application/x-ndjson"}
        records = service.get(f"/ingestions/{ingestion_id}/records", headers=headers)
        found = [json.loads(line)["id"] for line in records.text.splitlines()]
        # Not by the dispatches: a call that was late for its slot was not made.
        assert found == [item for batch in completed_batches(service) for item in batch.ids]
        assert service.ledger().violations() == []


def test_key_outlives_the_service_and_its_batch_size(tmp_path: Path) -> None:
    headers = {"Idempotency-Key": '"order-17"'}
    body = {"ids": [1, 2, 3, 4, 5], "priority": "LOW"}
    answers = []
    for batch_size in (3, 2):
        with running(tmp_path, TWO_WORKERS, batch_size=batch_size, **SETTINGS) as service:
            answers.append(entry(service.post("/ingest", body, headers=headers)))
    assert answers[0] == answers[1]
