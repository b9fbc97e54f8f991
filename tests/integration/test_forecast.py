"""Forecasts against what happens: the queue is played through to its end on a clock moved by hand."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from ingest_app.errors import UnknownIngestion
from ingest_app.queue import packing, waiting_counts
from ingest_app.queue.control import cancel_ingestion, pause_source, retry_ingestion
from ingest_app.queue.forecast import Forecast, list_with_forecasts, read_forecast
from ingest_app.queue.listing import Wanted
from ingest_app.queue.previews import Preview, preview_submission
from ingest_app.settings import SourceSettings
from ingest_app.states import Priority
from tests.support.queues import Queue

CALL_SECONDS = 1.0
ROUNDING = timedelta(milliseconds=5)


@dataclass
class Reality:
    """When each ingestion's next batch went, and when its last one ended."""

    next_starts_at: dict[str, datetime] = field(default_factory=dict)
    finishes_at: dict[str, datetime] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


def configured(queue: Queue) -> Mapping[str, SourceSettings]:
    return {queue.source.name: queue.source}


def forecast(queue: Queue, ingestion_id: str) -> Forecast:
    return read_forecast(queue.database, ingestion_id, configured(queue), clock=queue.clock)


def preview(queue: Queue, id_count: int) -> Preview:
    return preview_submission(queue.database, queue.source, id_count=id_count, clock=queue.clock)


def call_next(queue: Queue) -> tuple[str, datetime]:
    """Take the next batch through its call, at the instant its slot opens."""
    claim = queue.claim_in_turn()
    queue.clock.move(CALL_SECONDS)
    queue.complete(claim, called=claim.claimed)
    ((ingestion_id,),) = queue.rows(f"SELECT ingestion_id FROM batches WHERE id = {claim.batch_id}")
    return ingestion_id, claim.claimed.at


def play_through(queue: Queue) -> Reality:
    reality = Reality()
    while queue.rows("SELECT 1 FROM queue LIMIT 1"):
        ingestion_id, started_at = call_next(queue)
        reality.next_starts_at.setdefault(ingestion_id, started_at)
        reality.finishes_at[ingestion_id] = queue.clock.now.at
        reality.order.append(ingestion_id)
    return reality


def submit_mixture(queue: Queue, dice: random.Random) -> list[str]:
    """Ingestions of all sizes and priorities, some of them packed."""
    found = []
    for _ in range(12):
        queue.clock.move(dice.random())
        found.append(queue.submit(range(dice.randint(1, 30)), dice.choice(list(Priority))))
    return found


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PACK_SIZE", 4)


def check(forecasts: Mapping[str, Forecast], reality: Reality) -> None:
    for ingestion_id, foretold in forecasts.items():
        assert foretold.next_starts_at == pytest.approx(
            reality.next_starts_at[ingestion_id], abs=ROUNDING
        )
        assert foretold.finishes_at == pytest.approx(
            reality.finishes_at[ingestion_id], abs=ROUNDING
        )
        assert foretold.batches_ahead == reality.order.index(ingestion_id)


@pytest.mark.parametrize("seed", range(5))
def test_a_mixed_queue_goes_as_foretold(queue: Queue, seed: int) -> None:
    dice = random.Random(seed)
    submitted = submit_mixture(queue, dice)
    for _ in range(dice.randint(3, 20)):
        call_next(queue)
    going_on = {each: forecast(queue, each) for each in submitted}
    going_on = {each: it for each, it in going_on.items() if it.waiting_count}
    assert not any(it.caveats for it in going_on.values())
    check(going_on, play_through(queue))
