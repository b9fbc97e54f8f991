"""Webhooks of one process: the endpoint's row in line with the settings, and the sender's life."""

from __future__ import annotations

import logging

from ingest_app.deadline import Deadline
from ingest_app.errors import DatabaseError
from ingest_app.events import emit
from ingest_app.queue.ending import delivery_added
from ingest_app.queue.endpoints import keep_endpoint
from ingest_app.runtime import Runtime
from ingest_app.scheduling import SteadyScheduler
from ingest_app.webhooks.endpoint import endpoint_of
from ingest_app.webhooks.sender import LOOK_SECONDS, Describe, Sender

_log = logging.getLogger(__name__)


class Webhooks:
    """What the dispatcher starts and stops beside its loops."""

    def __init__(self, runtime: Runtime, *, describe: Describe) -> None:
        """Prepare the endpoint, if the settings have one (SettingsError)."""
        self._runtime = runtime
        self._describe = describe
        self._endpoint = endpoint_of(runtime.settings)
        self._sender: Sender | None = None

    def prepare(self, scheduler: SteadyScheduler) -> None:
        """From now on what the settings say holds for the database too.

        Sending begins when the scheduler does, or later when there is no thread left for it.
        """
        if self._endpoint is None:
            self._remove_endpoint()
            return
        # A new one, since threads do not survive a fork.
        self._sender = Sender(self._runtime, self._endpoint, self._describe)
        self._sender.prepare()
        delivery_added.connect(self._wake)
        scheduler.add_job(
            self._sender.start,
            trigger="interval",
            seconds=LOOK_SECONDS,
            id="webhooks",
            max_instances=1,
        )
        scheduler.run_at("webhooks", 0)

    def stop_claiming(self) -> None:
        """Begin no call from now on; may be called by a signal handler."""
        if self._sender is not None:
            self._sender.stopping = True

    def stop(self, deadline: Deadline) -> None:
        """Let a call under way end, for a few seconds and not beyond the deadline."""
        if self._sender is not None:
            delivery_added.disconnect(self._wake)
            self._sender.stop(deadline)
            self._sender = None

    def _remove_endpoint(self) -> None:
        database, clock = self._runtime.database, self._runtime.clock
        try:
            count = keep_endpoint(database, is_wanted=False, clock=clock)
        except DatabaseError as error:  # the next start will do it
            emit(_log, "webhook_endpoint_not_removed", level=logging.WARNING, reason=error)
            return
        if count:
            emit(_log, "webhooks_given_up", level=logging.WARNING, count=count)

    def _wake(self, _sender: object) -> None:
        if self._sender is not None:
            self._sender.wake()
