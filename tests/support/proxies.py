"""A forward proxy: whole URLs for http, CONNECT for https."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tests.support.raw_upstream import Exchange, Upstream, running


class Forwarding(Exchange):
    """Passes what it gets to where it is meant for."""

    def respond(self) -> None:
        """Note the request and pass it on; the connection ends with the answer."""
        self.note()
        parts = urlsplit(self.path)
        with socket.create_connection((parts.hostname, parts.port)) as onward:
            head = f"{self.command} {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            onward.sendall(f"{head}Connection: close\r\n\r\n".encode())
            _copy(onward, self.connection)
        self.close_connection = True

    do_GET = respond  # noqa: N815 - http.server looks for this name

    def do_CONNECT(self) -> None:  # noqa: N802
        """Open a tunnel, and keep it until either side has had enough."""
        self.note()
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as onward:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_copy, args=(onward, self.connection))
            back.start()
            _copy(self.connection, onward)
            back.join()
        self.close_connection = True


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def forwarding() -> Iterator[Upstream]:
    """A proxy at a port of its own; it notes requests and tunnels as an upstream does."""
    with running(Upstream(Exchange.note, handler=Forwarding)) as proxy:
        yield proxy
