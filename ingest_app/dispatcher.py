"""Run the queue in this process: one APScheduler interval job per source.

Any number of processes may do this on one database: slot and claim are one transaction there, so
the ticks of the others are harmless.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import cast

from flask import Flask

from ingest_app.errors import DatabaseError
from ingest_app.events import emit
from ingest_app.in_flight import InFlight
from ingest_app.queue.claim import claim_next_batch
from ingest_app.queue.recover import recover_expired_leases
from ingest_app.queue.refusing import Refusal, find_refusal
from ingest_app.queue.submit import work_arrived
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler
from ingest_app.settings import SourceSettings
from ingest_app.sources import make_source
from ingest_app.worker import is_dead, worker_name

LOOK_SECONDS = 0.8
"""How often a dispatcher looks for what another process has changed: new work, a resumed source."""

_FAULT_SECONDS = 1.0
_EXIT_GRACE_SECONDS = 5.0
_HEARTBEATS_A_LEASE = 3
_RECOVERIES_A_LEASE = 10
_KEY = "ingest_dispatcher"

_log = logging.getLogger(__name__)


class Dispatcher:
    """All sources of one application in this process; nothing runs before `start`."""

    def __init__(self, runtime: Runtime) -> None:
        """Dispatch for this runtime."""
        self._runtime = runtime
        self._lock = threading.Lock()
        self._started_by: int | None = None
        self._scheduler: SteadyScheduler | None = None
        self._loops: dict[str, _SourceLoop] = {}

    def attach(self, app: Flask) -> None:
        """Make this the dispatcher of `app`; its first request starts it if nothing else has."""
        app.extensions[_KEY] = self
        app.before_request(self.start)

    def start(self) -> None:
        """Begin to dispatch; once in each process, since threads do not survive a fork."""
        if self._started_by == os.getpid():
            return
        with self._lock:
            if self._started_by != os.getpid():
                self._start()
                self._started_by = os.getpid()

    def stop_claiming(self) -> None:
        """Claim nothing from now on; may be called by a signal handler."""
        for loop in self._loops.values():
            loop.stopping = True

    def stop(self, grace_seconds: float) -> None:
        """Claim nothing more, let batches in flight finish for so long, then hand back the rest."""
        if self._scheduler is None or self._started_by != os.getpid():
            return
        deadline = time.monotonic() + grace_seconds
        self.stop_claiming()
        for loop in self._loops.values():
            loop.stop(deadline)
        self._scheduler.shutdown(wait=False)
        self._scheduler = None
        atexit.unregister(self.stop)
        self._runtime.database.engine.dispose()
        emit(_log, "dispatcher_stopped", worker=worker_name())

    def _start(self) -> None:
        sources = self._runtime.settings.sources.values()
        self._scheduler = SteadyScheduler(self._runtime.clock, thread_count=2 + 2 * len(sources))
        self._loops = {
            source.name: _SourceLoop(self._runtime, source, self._scheduler) for source in sources
        }
        work_arrived.connect(self._wake, sender=self._runtime.database)
        self._scheduler.start()
        # For servers that do not call `stop`, such as Flask's own.
        atexit.register(self.stop, _EXIT_GRACE_SECONDS)
        emit(_log, "dispatcher_started", worker=worker_name(), sources=",".join(self._loops))

    def _wake(self, _database: object, *, source: str) -> None:
        if source in self._loops:
            self._loops[source].wake()


def dispatcher_of(app: Flask) -> Dispatcher | None:
    """The dispatcher attached to `app`; None when its settings say not to dispatch."""
    return cast("Dispatcher | None", app.extensions.get(_KEY))


class _SourceLoop:
    """One source: its interval job, armed for the instant at which there is something to do."""

    def __init__(
        self, runtime: Runtime, source: SourceSettings, scheduler: SteadyScheduler
    ) -> None:
        self.stopping = False
        self._runtime = runtime
        self._source = source
        self._scheduler = scheduler
        self._worker = worker_name()
        self._in_flight = InFlight(runtime, source, make_source(source), on_end=self.wake)
        self._lock = threading.Lock()
        self._ticking = False
        self._woken = False
        self._job_id = f"dispatch-{source.name}"
        self._add_jobs()

    def _add_jobs(self) -> None:
        lease_seconds, name = self._source.lease_seconds, self._source.name
        add = partial(self._scheduler.add_job, trigger="interval")
        # The interval is only the safety net: every tick arms the next one. APScheduler
        # wants it above zero.
        add(self.tick, seconds=max(self._source.interval_seconds, LOOK_SECONDS), id=self._job_id)
        heartbeat_seconds = lease_seconds / _HEARTBEATS_A_LEASE
        recovery_seconds = lease_seconds / _RECOVERIES_A_LEASE
        add = partial(add, max_instances=1)
        add(_guarded(self._in_flight.renew), seconds=heartbeat_seconds, id=f"heartbeat-{name}")
        add(_guarded(self._recover), seconds=recovery_seconds, id=f"recover-{name}")
        # At once, since this process may stand in for one that has just died.
        self._scheduler.run_at(f"recover-{name}", 0)
        self._scheduler.run_at(self._job_id, 0)

    def wake(self) -> None:
        """Something may have changed: look at once."""
        with self._lock:
            self._woken = True
            if not self._ticking:
                self._arm(0)

    def tick(self) -> None:
        """Dispatch what may go now, and arm the job for the instant at which more may."""
        with self._lock:
            self._woken = True
            if self._ticking:
                return
            self._ticking = True
        while not self._rest(self._dispatch_all()):
            pass

    def stop(self, deadline: float) -> None:
        """Let batches in flight finish until `deadline`, of `time.monotonic`."""
        self.stopping = True
        with self._lock:  # whoever was about to arm the job has done so
            self._scheduler.remove_job(self._job_id)
        self._in_flight.finish(deadline)

    def _dispatch_all(self) -> float:
        self._woken = False
        try:
            while not self.stopping:
                refused = self._dispatch_next()
                if refused:
                    return min(refused.wait_seconds or LOOK_SECONDS, LOOK_SECONDS)
        except DatabaseError as error:
            emit(_log, "dispatch_postponed", level=logging.WARNING, reason=error)
        except Exception:
            _log.exception("dispatch_crashed source=%s", self._source.name)
        return _FAULT_SECONDS

    def _dispatch_next(self) -> Refusal | None:
        database, clock = self._runtime.database, self._runtime.clock
        refused = find_refusal(database, self._source, clock=clock)
        if refused:
            return refused
        claim = claim_next_batch(database, self._source, worker=self._worker, clock=clock)
        if isinstance(claim, Refusal):
            return claim
        self._in_flight.begin(claim)
        emit(
            _log,
            "batch_claimed",
            batch_id=claim.batch_id,
            source=claim.source,
            attempt=claim.attempt,
        )
        return None

    def _rest(self, delay_seconds: float) -> bool:
        # Under the lock, or a wake between the last look and the arming would be slept through.
        with self._lock:
            if self._woken and not self.stopping:
                return False
            self._ticking = False
            self._arm(delay_seconds)
            return True

    def _arm(self, delay_seconds: float) -> None:
        if not self.stopping:
            self._scheduler.run_at(self._job_id, delay_seconds)

    def _recover(self) -> None:
        database, clock = self._runtime.database, self._runtime.clock
        lost = recover_expired_leases(database, self._source, clock=clock, is_dead=is_dead)
        for batch_id in lost:
            emit(_log, "lease_expired", level=logging.WARNING, batch_id=batch_id)
            self.wake()


def _guarded(job: Callable[[], None]) -> Callable[[], None]:
    """The job, which a database that is out of order only postpones to its next run."""

    def run() -> None:
        try:
            job()
        except DatabaseError as error:
            emit(_log, "job_postponed", level=logging.WARNING, reason=error)

    return run
