"""Connections on which a test sends what it likes, and what it reads there."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from http.client import parse_headers
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from tests.support.service import ROOM_SECONDS, Service

SECURITY_HEADERS = (
    "X-Content-Type-Options",
    "Content-Security-Policy",
    "X-Frame-Options",
    "Referrer-Policy",
    "Cross-Origin-Resource-Policy",
    "Cross-Origin-Opener-Policy",
    "Cache-Control",
)


@dataclass(frozen=True)
class RawAnswer:
    status: int
    headers: Message
    body: bytes

    def problem(self) -> dict[str, Any]:
        """What it says, when it is a problem such as all of ours are."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.headers["Content-Length"] == str(len(self.body))
        assert self.headers["Connection"] == "close"
        assert self.headers["X-Request-ID"]
        members: dict[str, Any] = json.loads(self.body)
        assert members["status"] == self.status
        assert {"type", "title", "detail", "instance"} <= set(members)
        return members

    def security(self) -> dict[str, str | None]:
        """The headers that keep browsers from misusing it."""
        return {name: self.headers[name] for name in SECURITY_HEADERS}


def read_answer(given: bytes) -> RawAnswer:
    """The one answer that these bytes are."""
    file = BytesIO(given)
    version, status, _ = file.readline().split(maxsplit=2)
    assert version == b"HTTP/1.1"
    return RawAnswer(int(status), parse_headers(file), file.read())


def address_of(service: Service) -> tuple[str, int]:
    """Where it listens, as a socket has it."""
    parts = urlsplit(service.url)
    return str(parts.hostname), int(parts.port or 0)


@contextmanager
def connected(service: Service, sent: bytes) -> Iterator[socket.socket]:
    """A connection on which this was sent."""
    with socket.create_connection(address_of(service), ROOM_SECONDS) as connection:
        connection.sendall(sent)
        yield connection


def exchange(address: str | tuple[str, int], sent: bytes) -> bytes:
    """All that is answered to these bytes; the address is a path, or host and port."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(ROOM_SECONDS)
        connection.connect(address)
        with suppress(OSError):  # it may have closed before it has read all of it
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        return read_to_end(connection)


def read_until(connection: socket.socket, end: bytes) -> None:
    """Read an answer that ends so, on a connection that stays open (TimeoutError)."""
    read = b""
    while not read.endswith(end):
        part = connection.recv(65_536)
        assert part, read
        read += part


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the other side closes, in whatever way (TimeoutError)."""
    read = b""
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            read += part
    return read
