"""How IDs become records: the kinds of source, by name."""

from __future__ import annotations

from ingest_app.settings import SourceSettings
from ingest_app.sources.base import Source
from ingest_app.sources.simulated import SimulatedSource

__all__ = ["Source", "make_source"]


def make_source(settings: SourceSettings) -> Source:
    """The source that these settings describe; their `kind` was checked when they were read."""
    return {"simulated": _simulated}[settings.kind](settings)


def _simulated(settings: SourceSettings) -> Source:
    return SimulatedSource(settings.simulated_latency_seconds)
