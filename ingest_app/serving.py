"""gunicorn's hooks: each worker dispatches from after its fork until it is told to stop.

With a gunicorn configuration of your own:
`from ingest_app.serving import on_starting, post_worker_init, pre_request, worker_exit`.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from gunicorn.glogging import Logger

from ingest_app import configured_database_path, create_app
from ingest_app.access.keys import is_open
from ingest_app.dispatcher import Dispatcher, dispatcher_of
from ingest_app.errors import IngestError, SettingsError
from ingest_app.events import emit
from ingest_app.logs import OUR_LOGGER, JsonFormatter, write_json
from ingest_app.metrics.request_times import request_times_of
from ingest_app.runtime import runtime_of
from ingest_app.starting import check_startable
from ingest_app.tracing import start_tracing, stop_tracing

_RESERVE_SECONDS = 2.0
"""Kept of gunicorn's graceful time for handing batches back, before its arbiter kills the worker.
"""

_MOST_REQUESTS = 100
"""On one connection."""

_UNUSABLE = 2
"""The exit status of a command line whose settings or database cannot be used."""

_ONE_REQUEST_SECONDS = 1.0
"""Ctrl-C and systemd signal the workers, and so does the arbiter: together that is one request."""


class JsonLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines as JSON, from the first one on."""

    def _set_handler(self, log: Any, output: Any, fmt: Any, stream: Any = None) -> None:  # noqa: ARG002
        super()._set_handler(log, output, JsonFormatter(), stream)


def on_starting(server: Any) -> None:
    """Check settings and migrate once, before there are workers; what is wrong ends gunicorn."""
    try:
        _check_usable(server)
    except IngestError as error:
        refuse_to_start(error)
    _check_at_every_reload(server, configured_database_path())


def refuse_to_start(error: IngestError) -> NoReturn:
    """End gunicorn with one line that says why."""
    print(f"ingest cannot start: {error}", file=sys.stderr)
    sys.exit(_UNUSABLE)


def post_worker_init(worker: Any) -> None:
    """Start to dispatch, and stop claiming at the very signal that stops the worker."""
    _log_like_gunicorn(worker)
    start_tracing()
    dispatcher = dispatcher_of(worker.wsgi)
    if dispatcher is None:
        return
    dispatcher.start()
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT):
        _stop_claiming_on(number, worker, dispatcher)


def pre_request(_worker: Any, request: Any) -> None:
    """Let go of a connection that has had many requests: the worker that takes it up has time.

    Which worker a connection comes to is chance, and else it would stay with one that is busy.
    """
    if request.req_number >= _MOST_REQUESTS:
        request.force_close()


def worker_exit(_server: Any, worker: Any) -> None:
    """Let the batches in flight finish; gunicorn calls this when it has answered all requests."""
    app = getattr(worker, "wsgi", None)
    if app is None:
        return
    dispatcher = dispatcher_of(app)
    if dispatcher is not None:
        told_at = getattr(worker, "told_to_stop_at", time.monotonic())
        spent_seconds = time.monotonic() - told_at
        dispatcher.stop(worker.cfg.graceful_timeout - _RESERVE_SECONDS - spent_seconds)
    request_times_of(app).flush()
    stop_tracing()


def _check_usable(server: Any) -> None:
    runtime = runtime_of(create_app())
    database = runtime.database
    try:
        check_startable(runtime.settings, server.cfg.address, is_open=lambda: is_open(database))
    finally:
        # A connection that is open while gunicorn forks would be shared by two processes.
        database.engine.dispose()


def _check_at_every_reload(server: Any, database: Path) -> None:
    # gunicorn has no hook that may refuse: it stops the service when a new worker cannot start.
    reload = server.reload

    def reload_if_usable() -> None:
        try:
            _check_is_still(database)
            _check_usable(server)
        except Exception as error:  # whatever it is, gunicorn would stop the service for it, too
            emit(server.log.error_log, "reload_refused", level=logging.ERROR, reason=error)
            return
        if server.cfg.preload_app:
            reason = "with --preload only a restart reads them"
            emit(
                server.log.error_log, "settings_not_reloaded", level=logging.WARNING, reason=reason
            )
        reload()

    server.reload = reload_if_usable


def _check_is_still(database: Path) -> None:
    # What was acknowledged would not be found any more, and the pace begin anew.
    wanted = configured_database_path()
    if wanted != database:
        raise SettingsError(f"database_url: {wanted} is another database; restart to move to it.")


def _stop_claiming_on(number: int, worker: Any, dispatcher: Dispatcher) -> None:
    before = signal.getsignal(number)

    def handle(number: int, frame: FrameType | None) -> None:
        dispatcher.stop_claiming()
        if not hasattr(worker, "told_to_stop_at"):
            worker.told_to_stop_at = time.monotonic()
        if dispatcher.is_stopping:
            # gunicorn's own handler may raise SystemExit, which must not end a stop half way.
            if time.monotonic() - worker.told_to_stop_at > _ONE_REQUEST_SECONDS:
                dispatcher.hurry()
        elif callable(before):
            before(number, frame)

    signal.signal(number, handle)
    if number == signal.SIGTERM:  # as gunicorn has it: requests under way are not to be disturbed
        signal.siginterrupt(number, False)


def _log_like_gunicorn(worker: Any) -> None:
    if runtime_of(worker.wsgi).settings.log_format == "json":
        write_json([*worker.log.error_log.handlers, *worker.log.access_log.handlers])
    logger = logging.getLogger(OUR_LOGGER)
    logger.handlers = worker.log.error_log.handlers
    logger.setLevel(worker.log.error_log.level)
    logger.propagate = False
