"""What never goes down: dispatches, slots and requests, over restarts and deletions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from ingest_app.queue.totals import LATENESS_BOUNDS, UNBOUNDED, SourceTotals
from ingest_app.states import DispatchOutcome


def dispatch_families(totals: Mapping[str, SourceTotals]) -> Iterator[Metric]:
    """The metrics of all dispatches that have ended, by source."""
    yield _counter(
        "ingest_dispatches",
        "Dispatches that have ended.",
        {
            (source, outcome.value): of_source.outcomes[outcome]
            for source, of_source in totals.items()
            for outcome in DispatchOutcome
        },
        ("source", "outcome"),
    )
    yield _of_each(
        "ingest_slots_used",
        "Slots that were spent on a dispatch, whatever became of it.",
        {source: of_source.slots_used for source, of_source in totals.items()},
    )
    yield _of_each(
        "ingest_slots_wasted",
        "Slots that passed unused while work waited.",
        {source: of_source.slots_wasted for source, of_source in totals.items()},
    )
    yield _of_each(
        "ingest_recovered_leases",
        "Batches that were taken back from a worker that gave no sign of life.",
        {source: of_source.outcomes[DispatchOutcome.LOST] for source, of_source in totals.items()},
    )
    lateness = HistogramMetricFamily(
        "ingest_slot_lateness_seconds",
        "How long after the opening of its slot a call began, also where no work had waited.",
        labels=["source"],
    )
    for source, of_source in totals.items():
        counts = cumulated(of_source.late_counts, LATENESS_BOUNDS)
        lateness.add_metric([source], counts, of_source.late_seconds)
    yield lateness


def cumulated(counts: Sequence[int], bounds: Sequence[float]) -> Sequence[tuple[str, float]]:
    """The buckets of a histogram as Prometheus has them: each with all below it."""
    names = [*map(str, bounds), UNBOUNDED]
    return list(zip(names, map(float, accumulate(counts)), strict=True))


def _of_each(name: str, told: str, values: Mapping[str, float]) -> Metric:
    return _counter(name, told, {(source,): value for source, value in values.items()}, ["source"])


def _counter(
    name: str, told: str, values: Mapping[tuple[str, ...], float], labels: Sequence[str]
) -> Metric:
    family = CounterMetricFamily(name, told, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
