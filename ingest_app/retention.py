"""Delete what is older than the operator wants to keep: a job of every worker, and once by hand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.errors import DatabaseError
from ingest_app.events import emit
from ingest_app.maintenance.shrinking import Shrunk, can_shrink, shrink
from ingest_app.maintenance.sole import alone_at
from ingest_app.queue.pruning import Pruned, prune
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler

_DAY_SECONDS = 86_400.0
_LOOKS_A_TERM = 20
_LONGEST_SECONDS = 3_600.0
_SHORTEST_SECONDS = 1.0
_FIRST_SECONDS = 30.0
"""After the start of a worker, which has more urgent things to do."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Swept:
    """What one run has done; `can_shrink` is False of a file that has to be compacted first."""

    pruned: Pruned
    shrunk: Shrunk
    can_shrink: bool


def sweep(
    database: Database, days: float, *, clock: Clock, wait: Callable[[float], bool]
) -> Swept | None:
    """Delete what ended so many days ago, and shrink the file; None when another process is at it.

    wait: waits for so many seconds; True when there is no time for more. Raises DatabaseError.
    """
    with alone_at(Path(str(database.engine.url.database)).parent) as is_alone:
        if not is_alone:
            return None
        before = clock.read().at - timedelta(days=days)
        may_shrink = can_shrink(database)
        pruned = prune(database, before, clock=clock, wait=wait)
        shrunk = Shrunk()
        if may_shrink and not pruned.was_interrupted:
            shrunk = shrink(database, clock=clock, wait=wait)
        return Swept(pruned, shrunk, may_shrink)


class Retention:
    """The job of one process; those of others are harmless beside it."""

    def __init__(self, runtime: Runtime, days: float, scheduler: SteadyScheduler) -> None:
        """Add the job to the scheduler; it takes one of its threads for as long as it deletes."""
        self._runtime = runtime
        self._days = days
        self._stopping = threading.Event()
        seconds = days * _DAY_SECONDS / _LOOKS_A_TERM
        seconds = min(max(seconds, _SHORTEST_SECONDS), _LONGEST_SECONDS)
        scheduler.add_job(
            self._run, trigger="interval", seconds=seconds, id="retention", max_instances=1
        )
        scheduler.run_at("retention", min(seconds, _FIRST_SECONDS))

    def stop(self) -> None:
        """Let the transaction under way end, and begin no other; may be called at any time."""
        self._stopping.set()

    def _run(self) -> None:
        runtime = self._runtime
        try:
            swept = sweep(
                runtime.database, self._days, clock=runtime.clock, wait=self._stopping.wait
            )
        except (DatabaseError, OSError) as error:
            emit(_log, "retention_failed", level=logging.WARNING, reason=error)
            return
        if swept is not None and (swept.pruned.batch_count or swept.shrunk.page_count):
            emit(
                _log,
                "ingestions_pruned",
                ingestions=swept.pruned.ingestion_count,
                batches=swept.pruned.batch_count,
                pages_freed=swept.shrunk.page_count,
                finished=not swept.pruned.was_interrupted,
            )
