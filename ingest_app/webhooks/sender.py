"""The thread that tells the endpoint: one delivery at a time, and nothing waits for it."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ingest_app.deadline import Deadline
from ingest_app.errors import DatabaseError
from ingest_app.events import emit
from ingest_app.queue.deliveries import (
    Delivery,
    claim_delivery,
    drop_delivery,
    give_up,
    mark_delivered,
    put_off,
    seconds_until_due,
)
from ingest_app.queue.endpoints import keep_endpoint
from ingest_app.queue.listing import IngestionEntry, has_batches, read_ended
from ingest_app.runtime import Runtime
from ingest_app.states import ENDS
from ingest_app.webhooks.endpoint import Endpoint
from ingest_app.webhooks.message import Message, message_of
from ingest_app.webhooks.policy import Answer, GiveUp, PutOff, decide

LOOK_SECONDS = 5.0
"""How often to look for what has ended in another process, or is due again."""

_FAULT_SECONDS = 1.0
"""How long to wait after a fault of the database, or of ours."""

_PAUSE_SECONDS = 0.01
"""Between two calls: dispatching needs the write lock, too, which each of them takes twice."""

_STOP_SECONDS = 5.0
"""How long a stop waits for a call at most: what it does not see the end of is told again."""

_JOIN_SECONDS = 0.1

_UNDER_WAY_AGAIN = "It was put under way again since, so it had not ended; nothing is told."
_NO_BATCHES = "It has no batches any more, so how it ended is not known; nothing is told."

Describe = Callable[[IngestionEntry], Mapping[str, Any]]
"""What the API answers of an ingestion, for JSON."""

_log = logging.getLogger(__name__)


class Sender:
    """Sends what is due until it is stopped."""

    def __init__(self, runtime: Runtime, endpoint: Endpoint, describe: Describe) -> None:
        """Nothing runs before `start`."""
        self.stopping = False
        self._runtime = runtime
        self._endpoint = endpoint
        self._describe = describe
        self._is_kept = False
        self._called = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def prepare(self) -> None:
        """Let ends from now on be told."""
        try:
            self._keep_endpoint()
        except DatabaseError as error:  # the thread will do it
            emit(_log, "webhooks_postponed", level=logging.WARNING, reason=error)

    def start(self) -> None:
        """Begin to send, unless it does already or was stopped; without a thread only say so."""
        with self._starting:
            if self._thread is not None or self.stopping:
                return
            # A call that hangs must not keep the process from ending.
            thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                emit(_log, "webhooks_postponed", level=logging.WARNING, reason=error)
                return
            self._thread = thread

    def wake(self) -> None:
        """An ingestion has ended, in a transaction that may still be open: look at once."""
        self._called.set()

    def stop(self, deadline: Deadline) -> None:
        """Send nothing more; a call that does not end in a moment is left to its lease."""
        self.stopping = True
        self._called.set()
        with self._starting:
            thread = self._thread
        patience = Deadline(_STOP_SECONDS)
        while thread and thread.is_alive() and not (deadline.is_over() or patience.is_over()):
            thread.join(_JOIN_SECONDS)

    def send_next(self) -> float:
        """Send the delivery that is due, if there is one; seconds until there may be more to do."""
        delivery = claim_delivery(self._runtime.database, clock=self._runtime.clock)
        if delivery is None:
            # What a look finds due, and a claim does not, may not be asked for without a pause.
            return self._look() or _FAULT_SECONDS
        answer = self._tell(delivery)
        if answer is None:
            self._drop(delivery)
        else:
            self._record(delivery, answer)
        return 0.0

    def _keep_endpoint(self) -> None:
        if not self._is_kept:
            keep_endpoint(self._runtime.database, is_wanted=True, clock=self._runtime.clock)
            self._is_kept = True

    def _run(self) -> None:
        delay_seconds = 0.0
        while not self.stopping:
            is_called = self._called.wait(delay_seconds)
            self._called.clear()
            if not self.stopping:
                delay_seconds = self._advance(is_called=is_called)
                if not delay_seconds:
                    time.sleep(_PAUSE_SECONDS)  # whoever calls meanwhile is heard after it

    def _advance(self, *, is_called: bool) -> float:
        """Send one if there is any; seconds until there may be more to do."""
        try:
            self._keep_endpoint()
            # The claim waits for the transaction that has called, a look would come too early.
            wait_seconds = 0.0 if is_called else self._look()
            return wait_seconds or self.send_next()
        except DatabaseError as error:
            emit(_log, "webhooks_postponed", level=logging.WARNING, reason=error)
        except Exception:
            _log.exception("webhooks_crashed")
        return _FAULT_SECONDS

    def _look(self) -> float:
        found = seconds_until_due(self._runtime.database, clock=self._runtime.clock)
        return LOOK_SECONDS if found is None else min(found, LOOK_SECONDS)

    def _tell(self, delivery: Delivery) -> Answer | None:
        """What the endpoint answered; None when there is nothing to tell it."""
        try:
            message = self._message(delivery)
            sent_at = self._runtime.clock.read().at
            return None if message is None else self._endpoint.tell(message, sent_at)
        except DatabaseError:  # then the lease brings it back
            raise
        except Exception as error:  # a mistake of ours: the attempts are counted all the same
            _log.exception("webhook_crashed")
            return Answer(None, f"A fault of the service: {type(error).__name__}.")

    def _message(self, delivery: Delivery) -> Message | None:
        """What to send; None when the ingestion has not ended so any more, or is gone."""
        ingestion_id, ended_at = delivery.ingestion_id, delivery.ended_at
        entry = read_ended(self._runtime.database, ingestion_id, ended_at=ended_at)
        if entry is None or entry.status not in ENDS:
            return None
        return message_of(ingestion_id, entry.status, ended_at, self._describe(entry))

    def _drop(self, delivery: Delivery) -> None:
        is_kept = has_batches(self._runtime.database, delivery.ingestion_id)
        reason = _UNDER_WAY_AGAIN if is_kept else _NO_BATCHES
        drop = partial(drop_delivery, reason=reason)
        self._write(delivery, drop, "webhook_given_up", reason=reason)

    def _record(self, delivery: Delivery, answer: Answer) -> None:
        jitter = random.random()
        told: dict[str, object] = {"status": answer.status, "reason": answer.words}
        match decide(answer, delivery.attempt, jitter=jitter):
            case None:
                self._write(delivery, mark_delivered, "webhook_delivered", status=answer.status)
            case GiveUp():
                record = partial(give_up, error=answer.words, jitter=jitter)
                self._write(delivery, record, "webhook_given_up", **told)
            case PutOff() as wait:
                record = partial(put_off, error=answer.words, jitter=jitter, **vars(wait))
                told["retry_seconds"] = round(wait.delay_seconds, 1)
                self._write(delivery, record, "webhook_failed", **told)

    def _write(
        self, delivery: Delivery, record: Callable[..., bool], event: str, **told: object
    ) -> None:
        """Record it however long the database cannot, or it would be told again."""
        while True:
            try:
                holds = record(self._runtime.database, delivery, clock=self._runtime.clock)
                break
            except DatabaseError as error:
                emit(_log, "webhooks_postponed", level=logging.WARNING, reason=error)
                if self.stopping:
                    return
                self._called.wait(_FAULT_SECONDS)
                self._called.clear()
        is_well = holds and event == "webhook_delivered"
        emit(
            _log,
            event if holds else "webhook_lost",
            level=logging.INFO if is_well else logging.WARNING,
            ingestion_id=delivery.ingestion_id,
            delivery_id=delivery.delivery_id,
            attempt=delivery.attempt,
            **told,
        )
