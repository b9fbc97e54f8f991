"""Notice ends that a person has made in the database: a job of every worker."""

from __future__ import annotations

import logging

from ingest_app.errors import DatabaseError
from ingest_app.events import emit
from ingest_app.queue.ending import note_forgotten_ends
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler

_STEP_SECONDS = 15.0

_log = logging.getLogger(__name__)


class ForgottenEnds:
    """Goes round all ingestions for ever; those of other processes are harmless beside it."""

    def __init__(self, runtime: Runtime, scheduler: SteadyScheduler) -> None:
        """Add the job to the scheduler; a run takes a few milliseconds and is over."""
        self._runtime = runtime
        self._begin_anew()
        scheduler.add_job(
            self._run, trigger="interval", seconds=_STEP_SECONDS, id="ends", max_instances=1
        )

    def _begin_anew(self) -> None:
        self._round = note_forgotten_ends(self._runtime.database, clock=self._runtime.clock)

    def _run(self) -> None:
        try:
            noted_count = next(self._round, None)
        except DatabaseError as error:
            emit(_log, "ends_postponed", level=logging.WARNING, reason=error)
            noted_count = None
        if noted_count is None:
            self._begin_anew()
        elif noted_count:
            emit(_log, "forgotten_ends_noted", ingestions=noted_count)
