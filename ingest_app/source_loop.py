"""One source's interval job: claim what may go, and sleep until the instant at which more may."""

from __future__ import annotations

import logging
import threading
from functools import partial

from ingest_app.deadline import Deadline
from ingest_app.errors import DatabaseError
from ingest_app.events import emit
from ingest_app.in_flight import InFlight
from ingest_app.queue.claim import claim_next_batch
from ingest_app.queue.recover import recover_expired_leases
from ingest_app.queue.refusing import Refusal, find_refusal
from ingest_app.queue.watching import LOOKS_A_LEASE, Watch
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler
from ingest_app.settings import SourceSettings
from ingest_app.sources import make_source
from ingest_app.worker import is_dead, worker_name

LOOK_SECONDS = 0.8
"""How often to look for what another process has changed: new work, a resumed source."""

_FAULT_SECONDS = 1.0
"""How long to wait before claiming again when the database could not record a claim."""

_log = logging.getLogger(__name__)


class SourceLoop:
    """The jobs of one source in this process: dispatch, heartbeat and recovery."""

    def __init__(
        self, runtime: Runtime, source: SourceSettings, scheduler: SteadyScheduler
    ) -> None:
        """Add the jobs to the scheduler; they run once it is started."""
        self.stopping = False
        self._runtime = runtime
        self._source = source
        self._scheduler = scheduler
        self._worker = worker_name()
        self._in_flight = InFlight(runtime, source, make_source(source), on_end=self.wake)
        self._changed = threading.Condition()
        self._ticking = False
        self._woken = False
        self._watch = Watch(source.lease_seconds)
        self._job_id = f"dispatch-{source.name}"
        self._add_jobs()

    def _add_jobs(self) -> None:
        lease_seconds, name = self._source.lease_seconds, self._source.name
        add = partial(self._scheduler.add_job, trigger="interval")
        # The interval is only the safety net: every tick arms the next one. APScheduler
        # wants it above zero.
        add(self.tick, seconds=max(self._source.interval_seconds, LOOK_SECONDS), id=self._job_id)
        tending_seconds = lease_seconds / LOOKS_A_LEASE
        add(self._tend_leases, seconds=tending_seconds, id=f"leases-{name}", max_instances=1)
        # At once, since this process may stand in for one that has just died.
        self._scheduler.run_at(f"leases-{name}", 0)
        self._scheduler.run_at(self._job_id, 0)

    def wake(self) -> None:
        """Something may have changed: look at once."""
        with self._changed:
            self._woken = True
            if not self._ticking:
                self._arm(0)

    def tick(self) -> None:
        """Dispatch what may go now, and arm the job for the instant at which more may."""
        with self._changed:
            self._woken = True
            if self._ticking or self.stopping:
                return
            self._ticking = True
        while not self._rest(self._dispatch_all()):
            pass

    def stop(self, deadline: Deadline) -> None:
        """Let batches in flight finish until the deadline, then hand them back.

        The scheduler is to be shut down before.
        """
        self.stopping = True
        # A tick may be in the middle of a claim.
        while not deadline.wait_for(self._changed, self._is_resting) and not deadline.is_over():
            pass
        self._in_flight.finish(deadline)

    def _is_resting(self) -> bool:
        return not self._ticking

    def _dispatch_all(self) -> float:
        self._woken = False
        try:
            while not self.stopping:
                refused = self._dispatch_next()
                if refused:
                    return _until_next_look(refused)
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
        return None

    def _rest(self, delay_seconds: float) -> bool:
        # Under the lock, or a wake between the last look and the arming would be slept through.
        with self._changed:
            if self._woken and not self.stopping:
                return False
            self._ticking = False
            self._changed.notify_all()
            self._arm(delay_seconds)
            return True

    def _arm(self, delay_seconds: float) -> None:
        if not self.stopping:
            self._scheduler.run_at(self._job_id, delay_seconds)

    def _tend_leases(self) -> None:
        try:
            self._in_flight.renew()
            self._recover()
        except DatabaseError as error:  # only postponed to the next run
            emit(_log, "leases_postponed", level=logging.WARNING, reason=error)

    def _recover(self) -> None:
        recovered = recover_expired_leases(
            self._runtime.database,
            self._source,
            clock=self._runtime.clock,
            is_dead=is_dead,
            may_judge=self._watch.look,
        )
        for lost in recovered:
            emit(_log, "batch_recovered", level=logging.WARNING, **lost._asdict())
            self.wake()


def _until_next_look(refused: Refusal) -> float:
    if refused.wait_seconds is None:
        return LOOK_SECONDS
    return min(refused.wait_seconds, LOOK_SECONDS)
