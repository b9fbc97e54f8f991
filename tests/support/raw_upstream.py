"""A small real upstream whose answers the test writes, and a forward proxy to put before it."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ingest_app.deadline import Deadline
from tests.support.fetching import TIMEOUT_SECONDS


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; `connection` is the same number on the same connection."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Exchange(BaseHTTPRequestHandler):
    """One request, to be answered by the test."""

    protocol_version = "HTTP/1.1"
    server: Upstream

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        self.server.events.append("connected")
        self.server.connected.set()
        super().setup()

    def respond(self) -> None:
        """Note the request and let the test answer it."""
        self.note()
        self.server.answer(self)

    do_GET = respond  # noqa: N815 - http.server looks for these names
    do_POST = respond  # noqa: N815

    def note(self) -> None:
        """Remember the request; its body is read with it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.events.append("request")
        connection = self.client_address[1]
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(Seen(self.command, self.path, headers, body, connection))

    def reply(
        self, body: object = b"", status: int = 200, content_type: str = "", **headers: object
    ) -> None:
        """Send a whole answer: bytes as they are, all else as JSON. `_` stands for `-`."""
        is_raw = isinstance(body, bytes)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        media_type = content_type or ("text/plain" if is_raw else "application/json")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if "Content-Length" in named:  # after a wrong length nothing more can be said
            self.close_connection = True
        self.send_response(status)
        for name, value in (
            {"Content-Type": media_type, "Content-Length": len(content)} | named
        ).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    def raw(self, content: bytes) -> None:
        """Send bytes of any kind, and close the connection."""
        self.wfile.write(content)
        self.close_connection = True

    def drip(self, piece: bytes) -> None:
        """Send a little again and again, for as long as the other side bears it."""
        self.close_connection = True
        with suppress(OSError):
            deadline = Deadline(TIMEOUT_SECONDS)
            while not self.server.stopping.wait(0.02) and not deadline.is_over():
                self.wfile.write(piece)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


Answer = Callable[[Exchange], None]


class Upstream(ThreadingHTTPServer):
    """Use `serving`, which takes it down."""

    daemon_threads = False
    block_on_close = True

    def __init__(
        self,
        answer: Answer,
        context: ssl.SSLContext | None = None,
        handler: type[Exchange] = Exchange,
    ) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.answer = answer
        self.seen: list[Seen] = []
        self.events: list[str] = []
        self.connected = threading.Event()
        self.disconnected = threading.Event()
        self.stopping = threading.Event()
        self._context = context
        self._sockets: list[socket.socket] = []

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        scheme = "https" if self._context else "http"
        return f"{scheme}://localhost:{self.server_port}"

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._context:
            # The handshake is for the connection's own thread.
            connection = self._context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self._sockets.append(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.disconnected.set()

    def handle_error(self, *_args: object) -> None:
        """A connection that breaks is what many tests want."""

    def hang_up(self) -> None:
        """End every connection; those who wait on one notice at once."""
        self.stopping.set()
        for connection in self._sockets:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[Upstream]:
    """An upstream at a port of its own; with a context it speaks TLS."""
    with running(Upstream(answer, context)) as upstream:
        yield upstream


@contextmanager
def running(upstream: Upstream) -> Iterator[Upstream]:
    """Serve until the block ends; then nothing of it is left."""
    # Looks for the end of serving often, or every test would wait half a second.
    thread = threading.Thread(target=upstream.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield upstream
    finally:
        upstream.shutdown()
        upstream.hang_up()
        upstream.server_close()
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()


@dataclass
class Leave:
    """A `start` that notes when it was called, and what the upstream had seen by then."""

    upstream: Upstream
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self) -> None:
        assert self.upstream.connected.wait(TIMEOUT_SECONDS), "start() came before the connection"
        self.upstream.events.append("start")
        self.calls.append(tuple(self.upstream.events))
