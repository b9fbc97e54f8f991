"""An upstream that fails as the test says, and notes every call it gets."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.behaviours import HUNG_UP, Answer, Behaviour, Call, knows_all
from tests.support.ports import held_port


class Upstream:
    """A server on a port that stays its own also while it is down.

    behaviour: what it answers to a call; the test may set another one at any time.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        """Start it, up and listening."""
        self.behaviour = behaviour
        self._noting = threading.Lock()
        self._calls: list[Call] = []
        self._holder, self._port = held_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: _Server | None = None
        self.come_up()

    @property
    def calls(self) -> list[Call]:
        """The calls so far, in the order of their arrival."""
        with self._noting:
            return list(self._calls)

    def asked_for(self) -> list[object]:
        """The IDs of all calls so far, one after the other."""
        return [item for call in self.calls for item in call.ids]

    def go_down(self) -> None:
        """Listen no more and hang up on all who are connected."""
        if self._server:
            self._server.hang_up()
            self._server = None

    def come_up(self) -> None:
        """Listen, at the same address as before."""
        self._server = _Server(self._port, self._decide)

    def close(self) -> None:
        """Leave nothing behind."""
        self.go_down()
        self._holder.close()

    def _decide(self, target: str, headers: dict[str, str], body: bytes) -> Answer:
        boot_seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
        with self._noting:
            number, ids = len(self._calls) + 1, _ids(target)
            call = Call(number, boot_seconds, ids, target, headers, body)
            self._calls.append(call)
            return self.behaviour(call)


@contextmanager
def faulty_upstream(behaviour: Behaviour = knows_all) -> Iterator[Upstream]:
    """An upstream that is taken down at the end."""
    upstream = Upstream(behaviour)
    try:
        yield upstream
    finally:
        upstream.close()


class _Server(ThreadingHTTPServer):
    """One time of being up: a thread for each connection, all of which can be hung up on."""

    daemon_threads = False  # closing waits for them

    def __init__(self, port: int, decide: Callable[[str, dict[str, str], bytes], Answer]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.decide = decide
        self.hanging_up = threading.Event()
        self._connections: set[socket.socket] = set()
        self._changing = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    def hang_up(self) -> None:
        self.hanging_up.set()
        self.shutdown()
        self._thread.join()
        self.socket.close()  # first, so that no one gets through who reconnects at once
        with self._changing:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changing:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that have hung up are what these tests are about; anything else is an error.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._answer(self.server.decide(self.path, dict(self.headers), b""))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.server.decide(self.path, dict(self.headers), body))

    def _answer(self, answer: Answer) -> None:
        if self.server.hanging_up.wait(answer.delay_seconds) or answer.status == HUNG_UP:
            self.close_connection = True
            return
        self.send_response(answer.status)
        length = len(answer.body) + answer.missing_bytes
        for name, value in {**answer.headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        self._send_body(answer)
        if answer.missing_bytes:
            self.close_connection = True

    def _send_body(self, answer: Answer) -> None:
        if not answer.drip_seconds:
            self.wfile.write(answer.body)
            return
        for byte in answer.body:
            self.wfile.write(bytes([byte]))
            if self.server.hanging_up.wait(answer.drip_seconds):
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing; the calls are noted elsewhere."""


def _ids(target: str) -> tuple[object, ...]:
    split = urlsplit(target)
    listed = parse_qs(split.query).get("ids", [unquote(split.path).rpartition("/")[2]])
    return tuple(int(item) if item.isdigit() else item for item in listed[0].split(","))
