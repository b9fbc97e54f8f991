"""An APScheduler whose jobs keep their distance when the wall clock is set."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, timedelta
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from ingest_app.clock import Clock, Moment

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_STEP_SECONDS = 0.05


class _Threads(ThreadPoolExecutor):  # type: ignore[misc]
    """Threads for jobs, which end with the interpreter.

    Python closes all thread pools before it calls what `atexit` has, such as the dispatcher's stop.
    """

    def _do_submit_job(self, job: Any, run_times: Any) -> None:
        try:
            super()._do_submit_job(job, run_times)
        except RuntimeError as error:
            if "after" not in str(error):  # there may just be no thread left
                raise
            _log.debug("job_dropped", exc_info=True)


class SteadyScheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler 3 has no types
    """A scheduler that cannot be stalled by setting the clock.

    APScheduler 3 keeps the next run of a job in wall time: set the clock back an hour, and it
    sleeps for an hour. This one looks at both clocks at least once a second and moves all jobs by
    the step the wall clock has made.
    """

    def __init__(self, clock: Clock, thread_count: int) -> None:
        """Run jobs in at most `thread_count` threads; a run that was missed is made up for once."""
        self._steady_clock = clock
        self._seen: Moment = clock.read()
        self._clock_lock = threading.RLock()
        super().__init__(
            timezone=UTC,
            executors={"default": _Threads(thread_count)},
            job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 2},
        )

    def run_at(self, job_id: str, delay_seconds: float) -> None:
        """Let the job run next in so many seconds, and at its interval from then on."""
        with self._clock_lock:
            self._follow_the_clock()
            at = self._seen.at + timedelta(seconds=delay_seconds)
            self.modify_job(job_id, next_run_time=at)

    def _process_jobs(self) -> float:
        with self._clock_lock:
            self._follow_the_clock()
        wait_seconds: float | None = super()._process_jobs()
        return _LOOK_SECONDS if wait_seconds is None else min(wait_seconds, _LOOK_SECONDS)

    def _follow_the_clock(self) -> None:
        now = self._steady_clock.read()
        elapsed = now.boot_seconds_since(self._seen)
        step = timedelta(0)
        if elapsed is not None:
            step = (now.at - self._seen.at) - timedelta(seconds=elapsed)
        self._seen = now
        if abs(step.total_seconds()) > _STEP_SECONDS:
            for job in self.get_jobs():
                # Before the start a job has no such time, not even None.
                at = getattr(job, "next_run_time", None)
                if at is not None:
                    job.modify(next_run_time=at + step)
