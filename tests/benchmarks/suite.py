"""The measures in their order, and how a run of them goes."""

from __future__ import annotations

import runpy
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.benchmarks.claiming import claims
from tests.benchmarks.draining import drains
from tests.benchmarks.foretelling import forecast_errors
from tests.benchmarks.http_large import status_request, submission
from tests.benchmarks.http_small import status_requests, submissions
from tests.benchmarks.idling import idle_costs
from tests.benchmarks.maintaining import maintenance
from tests.benchmarks.one_request import one_request_each
from tests.benchmarks.pace import paces
from tests.benchmarks.polling import looks
from tests.benchmarks.report import Row, versions
from tests.benchmarks.rounds import Plan
from tests.benchmarks.waking import latencies

MEASURES: Mapping[str, Callable[[Plan], Sequence[Row]]] = {
    "B1": submissions,
    "B2": status_requests,
    "B3": submission,
    "B4": status_request,
    "B5": claims,
    "B6": drains,
    "B7": paces,
    "B8": idle_costs,
    "B9": latencies,
    "B10": forecast_errors,
    "B11": looks,
    "B12": maintenance,
    "CPU": one_request_each,
}

_GUNICORN_CONFIG = Path(__file__).parents[2] / "gunicorn.conf.py"


def run(
    names: Sequence[str], plan: Plan, *, tell: Callable[[str], None]
) -> tuple[Sequence[Row], Mapping[str, object]]:
    """The rows of these measures, and what they were taken with; `tell` is told how far it is."""
    rows: list[Row] = []
    started = time.monotonic()
    for name in names:
        tell(f"{time.monotonic() - started:4.0f} s: {name}")
        rows += MEASURES[name](plan)
    return rows, _header(plan, round(time.monotonic() - started))


def _header(plan: Plan, seconds: int) -> Mapping[str, object]:
    config = runpy.run_path(str(_GUNICORN_CONFIG))
    return {
        **versions(),
        "cores": psutil.cpu_count(),
        "file system": _file_system(plan.folder),
        **{f"gunicorn {name}": config[name] for name in ("workers", "worker_class", "threads")},
        "rounds": plan.rounds,
        "quick": plan.is_quick,
        "seconds": seconds,
    }


def _file_system(folder: Path) -> str:
    holders = [
        partition
        for partition in psutil.disk_partitions(all=True)
        if folder.resolve().is_relative_to(partition.mountpoint)
    ]
    return max(holders, key=lambda one: len(one.mountpoint)).fstype
