"""The batches this process is working on: call the source in time for the slot, then settle."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ingest_app.clock import Moment
from ingest_app.deadline import Deadline
from ingest_app.errors import DatabaseError, SlotTaken, StaleClaim, UpstreamError
from ingest_app.events import emit
from ingest_app.items import FetchedRecord
from ingest_app.queue import retrying
from ingest_app.queue.claim import Claim, hold_slot
from ingest_app.queue.recover import renew_leases
from ingest_app.queue.settle import (
    complete_batch,
    defer_batch,
    fail_batch,
    release_batch,
    retry_batch,
    write_off,
)
from ingest_app.queue.watching import LOOKS_A_LEASE
from ingest_app.runtime import Runtime
from ingest_app.settings import SourceSettings
from ingest_app.sources import Source
from ingest_app.sources.veil import Veil

_MOST_SLOT_MOVES = 8  # the margin doubles each time: the last is 256 times the first
_FAULT_SECONDS = 1.0
"""How long to wait before settling again when the database could not record the outcome."""

_log = logging.getLogger(__name__)


@dataclass
class _Work:
    claim: Claim
    called: Moment | None = None


class _Abandoned(Exception):
    """The worker stops, so no call may begin."""


class InFlight:
    """The claimed batches of one source in this process, a thread each.

    How many there can be is decided by the claims.
    """

    def __init__(
        self,
        runtime: Runtime,
        settings: SourceSettings,
        source: Source,
        *,
        on_end: Callable[[], None],
    ) -> None:
        """`on_end` is called whenever a batch has left."""
        self._runtime = runtime
        self._settings = settings
        self._source = source
        self._on_end = on_end
        self._veil = Veil(settings.secrets)
        self._works: dict[int, _Work] = {}
        self._changed = threading.Condition()
        self._abandoned = threading.Event()

    def begin(self, claim: Claim) -> None:
        """Carry the batch out in a thread of its own; after `finish`, hand it back."""
        emit(_log, "batch_claimed", **_facts(claim))
        work = _Work(claim)
        with self._changed:
            abandoned = self._abandoned.is_set()
            if not abandoned:
                self._works[claim.dispatch_id] = work
        if abandoned:
            self._release(work, "The worker was stopped.")
            return
        try:
            threading.Thread(
                target=self._run, args=(work,), name=f"batch-{claim.batch_id}", daemon=True
            ).start()
        except RuntimeError:  # no more threads: let another process have it
            self._release(work, "The worker could not start a thread.")
            self._leave(work)

    def renew(self) -> None:
        """The heartbeat of all batches in flight. Raises DatabaseError."""
        claims = [work.claim for work in self._held()]
        if claims:
            renew_leases(self._runtime.database, claims, self._settings, clock=self._runtime.clock)

    def finish(self, deadline: Deadline) -> None:
        """Wait for all until the deadline, then hand back what is left."""
        heartbeat = Deadline(self._settings.lease_seconds / LOOKS_A_LEASE)
        while not deadline.wait_for(self._changed, self._is_empty) and not deadline.is_over():
            if heartbeat.is_over():
                heartbeat = Deadline(self._settings.lease_seconds / LOOKS_A_LEASE)
                self._renew_if_possible()
        with self._changed:
            self._abandoned.set()
        for work in self._held():
            self._release(work, "The worker was stopped before the call ended.")

    def _is_empty(self) -> bool:
        return not self._works

    def _renew_if_possible(self) -> None:
        try:
            self.renew()
        except DatabaseError as error:
            emit(_log, "job_postponed", level=logging.WARNING, reason=error)

    def _held(self) -> Sequence[_Work]:
        with self._changed:
            return list(self._works.values())

    def _leave(self, work: _Work) -> None:
        with self._changed:
            self._works.pop(work.claim.dispatch_id, None)
            self._changed.notify_all()
        self._on_end()

    def _run(self, work: _Work) -> None:
        try:
            self._carry_out(work)
        except _Abandoned:  # `finish` has handed the batch back
            pass
        except StaleClaim:
            emit(_log, "claim_lost", level=logging.WARNING, **_facts(work.claim))
            self._write_off(work)
        except SlotTaken as error:
            self._release(work, str(error))
        except DatabaseError as error:  # of `hold_slot`: then no call was made
            self._release(work, f"The slot could not be moved for a late call. {error}")
        except Exception:
            # The lease brings it back and counts the attempt, or it would go round for ever.
            _log.exception("batch_crashed batch_id=%s", work.claim.batch_id)
        finally:
            self._leave(work)

    def _carry_out(self, work: _Work) -> None:
        try:
            fetched = self._fetch(work)
            self._settle(work, partial(complete_batch, fetched=fetched), outcome="completed")
        except (_Abandoned, StaleClaim, SlotTaken, DatabaseError):
            raise
        except Exception as error:  # whatever a source raises or returns is a failed attempt
            _log.debug("fetch_failed", exc_info=True)
            self._settle_failure(work, error)

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
                if self._abandoned.is_set():
                    raise _Abandoned
                now = self._runtime.clock.read()
                if not work.claim.is_late(now):
                    work.called = now
                    return
            work.claim = hold_slot(self._runtime.database, work.claim, clock=self._runtime.clock)
        raise SlotTaken(work.claim.batch_id)

    def _settle_failure(self, work: _Work, error: Exception) -> None:
        jitter, max_attempts = random.random(), self._settings.max_attempts
        decision = retrying.decide(
            error, work.claim.attempt, max_attempts=max_attempts, jitter=jitter
        )
        facts: dict[str, Any] = {
            "error": self._veil.over(_described(error)),
            "fetched": error.fetched if isinstance(error, UpstreamError) else (),
            "jitter": jitter,
        }
        match decision:
            case retrying.Retry(delay_seconds):
                retry = partial(retry_batch, delay_seconds=delay_seconds, **facts)
                self._settle(work, retry, outcome="retried", reason=facts["error"])
            case retrying.Defer(delay_seconds):
                defer = partial(defer_batch, delay_seconds=delay_seconds, **facts)
                self._settle(work, defer, outcome="deferred", reason=facts["error"])
            case retrying.GiveUp(is_outage):
                fail = partial(fail_batch, is_outage=is_outage, **facts)
                self._settle(work, fail, outcome="failed", reason=facts["error"])

    def _settle(self, work: _Work, verb: Callable[..., None], **told: str) -> None:
        # What was fetched is kept until it is recorded: to fetch it again would cost another slot.
        while not self._abandoned.is_set():
            try:
                verb(
                    self._runtime.database,
                    work.claim,
                    called=work.called,
                    clock=self._runtime.clock,
                )
            except DatabaseError as error:
                emit(_log, "settle_postponed", level=logging.WARNING, reason=error)
                self._abandoned.wait(_FAULT_SECONDS)
            else:
                level = logging.WARNING if "reason" in told else logging.INFO
                emit(_log, "batch_settled", level=level, **_facts(work.claim), **told)
                return

    def _write_off(self, work: _Work) -> None:
        database, clock = self._runtime.database, self._runtime.clock
        try:
            write_off(database, work.claim, called=work.called, clock=clock)
        except DatabaseError as error:  # the row stays open, and `ingest verify` shows it
            emit(_log, "write_off_failed", level=logging.WARNING, reason=error)

    def _release(self, work: _Work, reason: str) -> None:
        try:
            release_batch(
                self._runtime.database,
                work.claim,
                reason=reason,
                called=work.called,
                clock=self._runtime.clock,
            )
            emit(_log, "batch_released", reason=reason, **_facts(work.claim))
        except (StaleClaim, DatabaseError) as error:  # then the lease brings it back
            emit(_log, "release_failed", level=logging.WARNING, reason=error)


def _described(error: Exception) -> str:
    try:
        return (
            str(error) if isinstance(error, UpstreamError) else f"{type(error).__name__}: {error}"
        )
    except Exception:
        return type(error).__name__


def _facts(claim: Claim) -> dict[str, Any]:
    return {
        "batch_id": claim.batch_id,
        "source": claim.source,
        "attempt": claim.attempt,
        "dispatch_id": claim.dispatch_id,
    }
