"""The batches this process is working on: call the source in time for the slot, then settle."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ingest_app import outcomes
from ingest_app.clock import Moment
from ingest_app.deadline import Deadline
from ingest_app.errors import DatabaseError, SlotTaken, StaleClaim, UpstreamError
from ingest_app.events import emit
from ingest_app.items import FetchedRecord
from ingest_app.outcomes import Outcome
from ingest_app.queue.claim import Claim, hold_slot
from ingest_app.queue.recover import renew_leases
from ingest_app.queue.settle import release_batch
from ingest_app.queue.watching import LOOKS_A_LEASE
from ingest_app.runtime import Runtime
from ingest_app.settings import SourceSettings
from ingest_app.settling import Ended, Result, Settler, facts_of, log_crash
from ingest_app.sources import Source
from ingest_app.sources.veil import Veil
from ingest_app.thread_pool import ThreadPool
from ingest_app.tracing import upstream_call

_MOST_SLOT_MOVES = 8  # the margin doubles each time: the last is 256 times the first

_log = logging.getLogger(__name__)


@dataclass
class _Work:
    claim: Claim
    called: Moment | None = None
    has_ended: bool = False


class _Abandoned(Exception):
    """The worker stops, so no call may begin."""


class InFlight:
    """The claimed batches of one source in this process, a thread each.

    How many there can be is decided by the claims. One thread at a time may `settle`: calls that
    end together are settled together, so that their records reach the disk at once.
    """

    def __init__(
        self,
        runtime: Runtime,
        settings: SourceSettings,
        source: Source,
        *,
        on_end: Callable[[], None],
    ) -> None:
        """`on_end` is called whenever a call has ended, and it is time to settle."""
        self._runtime = runtime
        self._settings = settings
        self._source = source
        self._on_end = on_end
        self._veil = Veil(settings.secrets)
        self._settler = Settler(runtime.database, runtime.clock, failed=self._failed)
        self._threads = ThreadPool(f"batch-{settings.name}")
        self._works: dict[int, _Work] = {}
        self._ended: list[Ended] = []
        self._changed = threading.Condition()
        self._abandoned = False

    def begin(self, claim: Claim) -> None:
        """Carry the batch out in a thread of its own; after `finish`, hand it back."""
        emit(_log, "batch_claimed", **facts_of(claim))
        work = _Work(claim)
        with self._changed:
            abandoned = self._abandoned
            if not abandoned:
                self._works[claim.dispatch_id] = work
        if abandoned:
            self._release(work, "The worker was stopped.")
            return
        try:
            self._threads.submit(partial(self._run, work))
        except RuntimeError:  # no more threads: let another process have it
            self._release(work, "The worker could not start a thread.")
            self._leave(work)

    def is_settling_due(self) -> bool:
        """True when a call has ended since the last `settle`."""
        return bool(self._ended)

    def gather(self, seconds: float) -> None:
        """When a call has ended, wait for the others, but not longer than this."""
        with self._changed:
            if self._ended:
                self._changed.wait_for(lambda: len(self._ended) >= len(self._works), seconds)

    def settle(self) -> None:
        """Record the outcome of every call that has ended.

        Raises DatabaseError; then all is kept for the next time, since to fetch it again would cost
        another slot.
        """
        ended = self._take_ended()
        if len(ended) > 1:
            self._settle_together(ended, lambda: None)
        else:
            self._settle_each(ended)

    def settle_and(self, claim: Callable[[], Result]) -> Result:
        """The same, and in the same transaction a claim for the places that are free then."""
        return self._settle_together(self._take_ended(), claim)

    def _take_ended(self) -> list[Ended]:
        with self._changed:
            ended, self._ended = self._ended, []
        return ended

    def _settle_together(self, ended: list[Ended], claim: Callable[[], Result]) -> Result:
        try:
            result = self._settler.settle_together(ended, claim)
        except DatabaseError as error:
            self._keep(ended, error)
            raise
        except Exception:  # one of them ends in another way
            _log.debug("settled_one_by_one", exc_info=True)
            self._settle_each(ended)
            return claim()
        self._leave(*ended)
        return result

    def _settle_each(self, ended: list[Ended]) -> None:
        while ended:
            try:
                self._settler.settle(ended[0])
            except DatabaseError as error:
                self._keep(ended, error)
                raise
            except Exception:  # a mistake of ours; the others are to be settled all the same
                log_crash(ended[0].claim)
            self._leave(ended.pop(0))

    def _keep(self, ended: list[Ended], error: DatabaseError) -> None:
        with self._changed:
            self._ended = ended + self._ended
        emit(_log, "settle_postponed", level=logging.WARNING, reason=error)

    def renew(self) -> None:
        """The heartbeat of all batches in flight. Raises DatabaseError."""
        claims = [work.claim for work in self._held()]
        if claims:
            renew_leases(self._runtime.database, claims, self._settings, clock=self._runtime.clock)

    def finish(self, deadline: Deadline) -> None:
        """Wait for all until the deadline, then hand back what is left."""
        heartbeat = Deadline(self._settings.lease_seconds / LOOKS_A_LEASE)
        while self._works and not deadline.is_over():
            deadline.wait_for(self._changed, lambda: bool(self._ended) or not self._works)
            self._settle_if_possible(deadline)
            if heartbeat.is_over():
                heartbeat = Deadline(self._settings.lease_seconds / LOOKS_A_LEASE)
                self._renew_if_possible()
        with self._changed:
            self._abandoned = True
        for work in self._held():
            self._release(work, "The worker was stopped before the call ended.")
        self._threads.shutdown()

    def _settle_if_possible(self, deadline: Deadline) -> None:
        try:
            self.settle()
        except DatabaseError:  # `settle` has said so
            deadline.wait_for(self._changed, lambda: False)

    def _renew_if_possible(self) -> None:
        try:
            self.renew()
        except DatabaseError as error:
            emit(_log, "leases_postponed", level=logging.WARNING, reason=error)

    def _held(self) -> Sequence[_Work]:
        with self._changed:
            return list(self._works.values())

    def _leave(self, *left: _Work | Ended) -> None:
        with self._changed:
            for work in left:
                self._works.pop(work.claim.dispatch_id, None)
            self._changed.notify_all()

    def _run(self, work: _Work) -> None:
        try:
            self._end(work, self._call(work))
        except _Abandoned:  # `finish` has handed the batch back
            pass
        except StaleClaim:
            self._end(work, outcomes.lost())
        except SlotTaken as error:
            self._release(work, str(error))
        except DatabaseError as error:  # of `hold_slot`: then no call was made
            self._release(work, f"The slot could not be moved for a late call. {error}")
        except Exception:
            log_crash(work.claim)
        finally:
            # Whatever it was: a batch that nobody is to settle must not have its lease renewed.
            if not work.has_ended:
                self._leave(work)
            self._on_end()

    def _call(self, work: _Work) -> Outcome:
        claim = work.claim
        with upstream_call(
            source=claim.source, batch_id=claim.batch_id, attempt=claim.attempt
        ) as tell:
            outcome = self._call_source(work)
            tell(outcome.told["outcome"])
            return outcome

    def _call_source(self, work: _Work) -> Outcome:
        try:
            return outcomes.completed(self._fetch(work))
        except (_Abandoned, StaleClaim, SlotTaken, DatabaseError):
            raise
        except Exception as error:  # whatever a source raises or returns is a failed attempt
            _log.debug("fetch_failed", exc_info=True)
            return self._failed(error, work.claim)

    def _fetch(self, work: _Work) -> Sequence[FetchedRecord]:
        """What the upstream has for every ID of the claim."""
        if not work.claim.ids:  # all have a record by now, as a person may have seen to
            return ()
        fetched = self._source.fetch(work.claim.ids, partial(self._start_call, work))
        if work.called is None and any(record.outcome.needs_a_call for record in fetched):
            raise TypeError("the source did not say when its call started")
        missing_count = len(set(work.claim.ids) - {record.item_id for record in fetched})
        if missing_count:
            raise UpstreamError(f"There was no answer for {missing_count} IDs.", fetched=fetched)
        return fetched

    def _start_call(self, work: _Work) -> None:
        # The last thing before the call, so that the slot is measured where the call is made.
        for _ in range(_MOST_SLOT_MOVES):
            with self._changed:
                if self._abandoned:
                    raise _Abandoned
                now = self._runtime.clock.read()
                if not work.claim.is_late(now):
                    work.called = now
                    return
            work.claim = hold_slot(self._runtime.database, work.claim, clock=self._runtime.clock)
        raise SlotTaken(work.claim.batch_id)

    def _failed(self, error: Exception, claim: Claim) -> Outcome:
        return outcomes.failed(error, claim, settings=self._settings, veil=self._veil)

    def _end(self, work: _Work, outcome: Outcome) -> None:
        with self._changed:
            if not self._abandoned:
                claim = replace(work.claim, answered=work.called and self._runtime.clock.read())
                self._ended.append(Ended(claim, work.called, outcome))
                work.has_ended = True
                self._changed.notify_all()

    def _release(self, work: _Work, reason: str) -> None:
        try:
            release_batch(
                self._runtime.database,
                work.claim,
                reason=reason,
                called=work.called,
                clock=self._runtime.clock,
            )
            emit(_log, "batch_released", reason=reason, **facts_of(work.claim))
        except (StaleClaim, DatabaseError) as error:  # then the lease brings it back
            emit(_log, "release_failed", level=logging.WARNING, reason=error)
