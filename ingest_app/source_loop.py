"""One source's interval job: claim what may go, and sleep until the instant at which more may."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import partial

from ingest_app.deadline import Deadline
from ingest_app.errors import DatabaseError
from ingest_app.events import emit
from ingest_app.in_flight import InFlight
from ingest_app.queue import pacing
from ingest_app.queue.claim import Claim, claim_all_that_may_go, claim_next_batch
from ingest_app.queue.recover import recover_expired_leases
from ingest_app.queue.refusing import Refusal, Wait, find_refusal
from ingest_app.queue.watching import LOOKS_A_LEASE, Watch
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler
from ingest_app.settings import SourceSettings
from ingest_app.sources import make_source
from ingest_app.worker import is_dead, worker_name

LOOK_SECONDS = 0.8
"""How often to look for what another process has changed: new work, a resumed source."""

_WAIT_SECONDS = 0.25
"""The longest wait within a tick; a longer one is left to the scheduler."""

_TICK_SECONDS = 1.0
"""How long a tick may go on: at its end Python waits for it, before anything can stop the loop."""

_EARLY_SECONDS = 0.05
"""How much earlier the scheduler is to come back; the rest of the wait is exact."""

_GATHER_SECONDS = 0.001
"""How long a batch that ended waits for the others, to be settled with them."""

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
        self._stopped = False
        self._runtime = runtime
        self._source = source
        self._scheduler = scheduler
        self._worker = worker_name()
        self._in_flight = InFlight(runtime, source, make_source(source), on_end=self._come_back)
        self._changed = threading.Condition()
        self._ticking = False
        self._woken = False
        self._has_fault = False
        self._is_due = False
        self._waits_for_slot = False
        self._watch = Watch(source.lease_seconds)
        self._job_id = f"dispatch-{source.name}"
        self._add_jobs()

    def _add_jobs(self) -> None:
        lease_seconds, name = self._source.lease_seconds, self._source.name
        add = partial(self._scheduler.add_job, trigger="interval")
        # The interval is only the safety net: every tick arms the next one. APScheduler
        # wants it above zero.
        seconds = max(self._source.interval_seconds, LOOK_SECONDS)
        # One tick at a time does something; APScheduler may not yet have counted off those before.
        add(self.tick, seconds=seconds, id=self._job_id, max_instances=100)
        tending_seconds = lease_seconds / LOOKS_A_LEASE
        add(self._tend_leases, seconds=tending_seconds, id=f"leases-{name}", max_instances=1)
        # At once, since this process may stand in for one that has just died.
        self._scheduler.run_at(f"leases-{name}", 0)
        self._scheduler.run_at(self._job_id, 0)

    def wake(self) -> None:
        """Something may have changed: look at once, unless it is the next slot that has to open."""
        if not self.stopping and not self._waits_for_slot:
            with self._changed:
                self._woken = True
                self._come_back()

    def tick(self) -> None:
        """Settle and dispatch what may go now, and arm the job for when more may."""
        with self._changed:
            self._woken = True
            if self._ticking or self._stopped:
                return
            self._ticking = True
        over = Deadline(_TICK_SECONDS)
        delay_seconds: float | None = 0.0
        while not self._rest(delay_seconds, may_wait=not over.is_over()):
            delay_seconds = self._advance()

    def stop(self, deadline: Deadline) -> None:
        """Let batches in flight finish until the deadline, then hand them back."""
        self.stopping = True
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        # A tick may be in the middle of a claim.
        while not deadline.wait_for(self._changed, self._is_resting) and not deadline.is_over():
            pass
        self._in_flight.finish(deadline)

    def _is_resting(self) -> bool:
        return not self._ticking

    def _rest(self, delay_seconds: float | None, *, may_wait: bool) -> bool:
        """Wait until there is something to do; True when that is left to the scheduler."""
        # Under the lock, or a wake between the last look and the arming would be slept through.
        with self._changed:
            if may_wait and delay_seconds is not None and delay_seconds <= _WAIT_SECONDS:
                self._is_due = not self._changed.wait_for(self._is_called, delay_seconds)
                self._ticking = not self._stopped
            elif self._stopped or not may_wait or not self._is_called():
                self._arm(0.0 if self._is_called() else delay_seconds)
                self._ticking = False
            self._woken = False
            self._changed.notify_all()
            return not self._ticking

    def _is_called(self) -> bool:
        # After a fault, what could not be settled is not a reason to try again at once.
        is_due = not self._has_fault and self._in_flight.is_settling_due()
        return is_due or self._woken or self._stopped

    def _come_back(self) -> None:
        with self._changed:
            self._changed.notify_all()
            if not self._ticking:
                self._arm(0)

    def _arm(self, delay_seconds: float | None) -> None:
        if delay_seconds is None or self._stopped:
            return
        # An exact instant is waited for in the tick.
        is_exact = self._waits_for_slot or delay_seconds < LOOK_SECONDS
        early_seconds = _EARLY_SECONDS if is_exact else 0.0
        self._scheduler.run_at(self._job_id, max(0.0, delay_seconds - early_seconds))

    def _advance(self) -> float | None:
        """Settle and claim; seconds until there may be more to do, None without an end of them."""
        self._has_fault = True
        self._waits_for_slot = False
        try:
            delay_seconds = self._settle_and_claim()
            self._has_fault = False
            return delay_seconds
        except DatabaseError as error:
            emit(_log, "dispatch_postponed", level=logging.WARNING, reason=error)
        except Exception:
            _log.exception("dispatch_crashed source=%s", self._source.name)
        return _FAULT_SECONDS

    def _settle_and_claim(self) -> float | None:
        if self.stopping or self._source.interval_seconds:
            self._in_flight.settle()
        elif self._in_flight.is_settling_due():
            # Where there is no pace, the place of a batch that ended is for the next.
            self._in_flight.gather(_GATHER_SECONDS)
            return self._begin(self._in_flight.settle_and(self._claim))
        if self.stopping:
            return None
        # When a short wait has run its course, a look would only make the claim late.
        is_due, self._is_due = self._is_due, False
        return (not is_due and self._look()) or self._begin(self._claim())

    def _look(self) -> float:
        """Seconds to wait before a claim is worth a try; without the write lock."""
        database, clock = self._runtime.database, self._runtime.clock
        refused = find_refusal(database, self._source, clock=clock)
        return self._until_next_look(refused) if refused else 0.0

    def _claim(self) -> Sequence[Claim] | Refusal:
        claim = claim_next_batch if self._source.interval_seconds else claim_all_that_may_go
        database, clock = self._runtime.database, self._runtime.clock
        found = claim(database, self._source, worker=self._worker, clock=clock)
        return [found] if isinstance(found, Claim) else found

    def _begin(self, found: Sequence[Claim] | Refusal) -> float:
        if isinstance(found, Refusal):
            return self._until_next_look(found)
        for claim in found:
            self._in_flight.begin(claim)
        return self._until_next_slot(found[-1])

    def _until_next_look(self, refused: Refusal) -> float:
        self._waits_for_slot = refused.reason is Wait.SLOT
        if refused.wait_seconds is None:
            return LOOK_SECONDS
        return min(refused.wait_seconds, LOOK_SECONDS)

    def _until_next_slot(self, claim: Claim) -> float:
        if not claim.interval_seconds:
            return _WAIT_SECONDS  # all that may go went: until the first of them ends
        self._waits_for_slot = True
        slot = pacing.next_slot(claim.claimed, claim.interval_seconds, claim.margin_seconds)
        delay_seconds = pacing.wait_seconds(
            slot, claim.interval_seconds, self._runtime.clock.read()
        )
        return min(delay_seconds, LOOK_SECONDS)

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
