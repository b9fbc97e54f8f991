"""The simulated upstream, and what becomes of a kind by its name."""

from __future__ import annotations

from ingest_app.settings import SourceSettings
from ingest_app.sources import make_source
from ingest_app.sources.simulated import SimulatedSource
from ingest_app.states import RecordOutcome


def test_simulated_source_knows_every_id_in_order() -> None:
    started: list[None] = []
    source = make_source(SourceSettings(options={"simulated_latency_seconds": 0}))
    records = source.fetch([2, "b", 2], lambda: started.append(None))
    assert len(started) == 1
    assert [(record.item_id, record.outcome, record.data) for record in records] == [
        (2, RecordOutcome.FETCHED, {"id": 2}),
        ("b", RecordOutcome.FETCHED, {"id": "b"}),
        (2, RecordOutcome.FETCHED, {"id": 2}),
    ]


def test_kind_simulated_makes_the_simulated_source() -> None:
    settings = SourceSettings(options={"simulated_latency_seconds": 0})
    assert isinstance(make_source(settings), SimulatedSource)
