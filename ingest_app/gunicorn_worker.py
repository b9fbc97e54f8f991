"""gunicorn's worker with threads, which neither waits for ever nor answers in a form of its own.

With a gunicorn configuration of your own:
`worker_class = "ingest_app.gunicorn_worker.Worker"`.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Protocol

from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from ingest_app.events import REQUEST_ID, emit, new_request_id, one_line
from ingest_app.web.bare_answers import bare_problem
from ingest_app.web.problems import FAULT_DETAIL

_LONGEST_DETAIL = 200
"""Characters: what a client sent may stand in it."""

_LIMITS = {
    HTTPStatus.REQUEST_URI_TOO_LONG: (
        "The request line is longer than {cfg.limit_request_line} bytes."
    ),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "Send at most {cfg.limit_request_fields} header fields, each of at most"
        " {cfg.limit_request_field_size} bytes."
    ),
}
"""Where gunicorn's own words do not say what is allowed."""

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """What is used of one of gunicorn's connections.

    client: its host and port; empty on a Unix socket.
    """

    sock: socket.socket
    client: Any


class Heads:
    """The heads of requests that threads wait for, each until its time is over.

    until, now: seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        """None is awaited yet."""
        self._deadlines: dict[Connection, float] = {}
        self._late: set[Connection] = set()
        self._lock = threading.Lock()

    def expect(self, connection: Connection, *, until: float) -> None:
        """A thread begins to wait for the next head of this connection."""
        with self._lock:
            self._deadlines[connection] = until

    def end(self, connection: Connection) -> bool:
        """It waits no longer; True when the head was cut off, which is told once."""
        with self._lock:
            self._deadlines.pop(connection, None)
            was_late = connection in self._late
            self._late.discard(connection)
            return was_late

    def cut_off(self, now: float) -> None:
        """Let the threads that wait beyond their time see the end of what is sent to them."""
        with self._lock:
            late = [one for one, until in self._deadlines.items() if until <= now]
            for connection in late:
                del self._deadlines[connection]
                self._late.add(connection)
                _shut_for_receiving(connection.sock)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Answers with problems, and lets no client hold a thread with half a request head."""

    head_seconds = 10.0
    """How long a thread waits for the whole head of a request, and for TLS before it."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        """As gunicorn makes it, before the fork."""
        super().__init__(*arguments, **more)
        self._heads = Heads()

    def notify(self) -> None:
        """Say that this worker lives, which gunicorn does every second, also while it stops."""
        super().notify()
        self._heads.cut_off(time.monotonic())

    def handle_quit(self, sig: Any, frame: Any) -> None:
        """Stop at once, which Ctrl-C asks for and the arbiter with it: two signals for one stop."""
        # Past the class between, which waits for a lock of the thread pool's: what was interrupted,
        # also by the first of the two, may hold it, and would never go on.
        super(ThreadWorker, self).handle_quit(sig, frame)

    def handle(self, conn: Any) -> Any:
        """Answer one request; gunicorn calls this once there is something to read."""
        self._heads.expect(conn, until=time.monotonic() + self.head_seconds)
        try:
            stays_open = super().handle(conn)
        finally:
            is_late = self._heads.end(conn)
        if is_late:
            self._refuse_late(conn)
        if not stays_open:
            _see_off(conn.sock)
        return stays_open

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Let the application answer: the head is here, and may take as long as it likes."""
        if self._heads.end(conn):
            # At the very moment it came, its connection was shut: a body would not come any more.
            self._refuse_late(conn)
            return False
        stays_open = super().handle_request(req, conn)
        req.is_answered = True
        return stays_open

    def handle_http2(self, conn: Any) -> Any:
        """Serve all requests of a connection, where gunicorn was told to speak HTTP/2."""
        self._heads.end(conn)
        return super().handle_http2(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Let gunicorn log and decide on the status, and answer with a problem of that status."""
        # A request that came as far as the application has its id from there.
        request_id = REQUEST_ID.get() if req is not None else None
        REQUEST_ID.set(request_id or new_request_id())
        page = _Page()
        super().handle_error(req, page, addr, exc)
        if getattr(req, "is_answered", False):
            # The rest of its body is wrong; another answer would be taken for the next request's.
            REQUEST_ID.set(None)
            return
        instance = req.path if req is not None else ""
        self._answer(client, page.status, self._detail(page.status, exc), instance)

    def _detail(self, status: HTTPStatus, error: BaseException) -> str:
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return FAULT_DETAIL
        if status in _LIMITS:
            return _LIMITS[status].format(cfg=self.cfg)
        return f"{one_line(error)[:_LONGEST_DETAIL]}."

    def _refuse_late(self, conn: Connection) -> None:
        REQUEST_ID.set(new_request_id())
        address = conn.client[0] if conn.client else ""
        emit(_log, "head_timed_out", level=logging.WARNING, address=address)
        detail = f"The head of the request was not complete after {self.head_seconds:g} seconds."
        self._answer(conn.sock, HTTPStatus.REQUEST_TIMEOUT, detail, "")

    def _answer(self, client: Any, status: HTTPStatus, detail: str, instance: str) -> None:
        answer = bare_problem(
            status, detail, instance=instance, is_secure=self.cfg.is_ssl, now=time.time()
        )
        REQUEST_ID.set(None)
        with suppress(OSError):  # it has gone, or takes nothing
            util.write_nonblock(client, answer)


class _Page:
    """What gunicorn sends its page to: takes the status from it, and sends nothing."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.status = HTTPStatus(int(data.split(maxsplit=2)[1]))


def _see_off(sock: socket.socket) -> None:
    # gunicorn waits for two seconds, too, that the client closes, which lets the answer arrive
    # whole, but does so in the thread that all connections of the worker need.
    with suppress(OSError):
        util.close_graceful(socket.fromfd(sock.fileno(), sock.family, sock.type))
    _shut_for_receiving(sock)


def _shut_for_receiving(sock: socket.socket) -> None:
    # Past TLS, whose own shutdown would let an answer go out in the clear.
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RD)
