"""Connections that a service has to bear: idle ones, and some that send a byte now and then."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

from tests.support.service import ROOM_SECONDS

_FILES_BESIDE = 200
_PAUSE_SECONDS = 0.1
_HEAD = b"POST /ingest HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
_SLOW_REQUEST = _HEAD + b"Content-Length: 100000\r\n\r\n"


@contextmanager
def idle_connections(url: str, count: int) -> Iterator[list[socket.socket]]:
    """So many connections on which nothing is sent."""
    with _room_for_files(count), ExitStack() as stack:
        yield [stack.enter_context(_connect(url)) for _ in range(count)]


@contextmanager
def slow_senders(url: str, count: int) -> Iterator[None]:
    """So many connections whose requests arrive a byte at a time and do not end."""
    with ExitStack() as stack:
        connections = [stack.enter_context(_connect(url)) for _ in range(count)]
        ended = threading.Event()
        sender = threading.Thread(target=_trickle, args=(connections, ended))
        sender.start()
        try:
            yield
        finally:
            ended.set()
            sender.join()


def _connect(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=ROOM_SECONDS)


def _trickle(connections: Sequence[socket.socket], ended: threading.Event) -> None:
    sent = 0
    while not ended.wait(_PAUSE_SECONDS):
        for connection in connections:
            with suppress(OSError):
                connection.sendall(_SLOW_REQUEST[sent : sent + 1] or b" ")
        sent += 1


@contextmanager
def _room_for_files(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _FILES_BESIDE
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
