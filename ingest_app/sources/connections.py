"""Connections that ask for leave before a request goes out, and do not wait for ever."""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_LONGEST_IDLE_SECONDS = 4.0
"""Apache, Node and uvicorn close a connection after 5 idle seconds; a call that meets the close
would be lost, and its slot with it."""


_LONGEST_LINE_BYTES = 65_536


class Departure:
    """The one moment at which the calls of a batch may begin."""

    def __init__(self, start: Callable[[], None]) -> None:
        """`start` is called with the first call only."""
        self._start: Callable[[], None] | None = start

    def leave(self) -> None:
        """Return when the slot allows it. Raises what `start` raises."""
        start, self._start = self._start, None
        if start:
            start()


class NotStarted(Exception):
    """`start` raised; urllib3 would take some errors for its own, so they travel in here."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__()
        self.reason = reason


class Call(threading.local):
    """The call this thread is making."""

    departure: Departure
    timeout_seconds: float
    ends_at: float

    def leave(self) -> None:
        """Let the request go when it may, from when on the time for its answer counts."""
        try:
            self.departure.leave()
        except BaseException as error:
            raise NotStarted(error) from None
        self.extend()

    def extend(self) -> None:
        """Give the call its full time from now on."""
        self.ends_at = time.monotonic() + self.timeout_seconds


CALL = Call()
"""Pools have no other way of passing it to their connections."""


class _TimedReader(io.RawIOBase):
    """Reads from a socket until the call has to end, however little comes at a time."""

    def __init__(self, raw: io.RawIOBase, sock: Any, ends_at: float) -> None:
        self._raw = raw
        self._sock = sock
        self._ends_at = ends_at

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_seconds = self._ends_at - time.monotonic()
        if left_seconds <= 0:
            raise TimeoutError
        self._sock.settimeout(left_seconds)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, CALL.ends_at))

    def _read_status(self) -> tuple[str, int, str]:
        # http.client takes 103 and the like for the answer; the real one, which still comes, would
        # be taken for that of the next call on this connection (RFC 9110 section 15.2).
        while True:
            status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not HTTPStatus.SWITCHING_PROTOCOLS < status[1] < HTTPStatus.OK:
                return status
            while self.fp.readline(_LONGEST_LINE_BYTES).strip():
                pass


class _Connection(HTTPConnection):
    """Asks for leave when it stands and everything but the sending is done."""

    response_class = _TimedResponse
    _left_at = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether it can be used for another call."""
        is_fresh = time.monotonic() - self._left_at < _LONGEST_IDLE_SECONDS
        return is_fresh and super().is_connected

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        """Send the request."""
        if self.sock is None:
            self.connect()
        CALL.leave()
        self._left_at = time.monotonic()
        super().endheaders(*args, **kwargs)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Adapter(HTTPAdapter):
    """Pools of our connections, with a TLS context that is made once."""

    def __init__(self, context: ssl.SSLContext, pool_size: int) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools for calls without a proxy."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """The pools for calls by way of this proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """Which pool a call belongs to: the context, not the call, says what to verify."""
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {}

    def cert_verify(self, *args: Any) -> None:
        """Nothing: the context verifies, and has read its certificates."""
