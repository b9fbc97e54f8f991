"""Calls over HTTP: what an answer may cost, and why there is none."""

from __future__ import annotations

import errno
import functools
import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any

import requests
import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3.exceptions import (
    DecodeError,
    HTTPError,
    InsecureRequestWarning,
    InvalidHeader,
    ProxyError,
)
from urllib3.util.ssl_ import create_urllib3_context

from ingest_app.errors import SettingsError
from ingest_app.sources.connections import CALL, Adapter, Departure, NotStarted

_FAULTS = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError)
"""What requests, urllib3, http.client, ssl and socket raise; they do not always wrap each other."""

_CHUNK_BYTES = 65_536


class NoAnswer(Exception):
    """The upstream cannot be reached or does not answer in time; the message is the reason."""


class UnusableAnswer(Exception):
    """The body of an answer cannot be had; the message is the reason."""


class Answer:
    """Status and headers of an answer, and its body for as long as the connection lasts."""

    def __init__(self, response: requests.Response, max_bytes: int) -> None:
        """Wrap an answer of which only the head was read."""
        self.status = response.status_code
        self.reason = response.reason or ""
        self.headers: Mapping[str, str] = response.headers
        self._raw = response.raw
        self._max_bytes = max_bytes

    def body(self) -> bytes:
        """All of it, decompressed. Raises NoAnswer or UnusableAnswer."""
        try:
            return b"".join(self._chunks())
        except _FAULTS as error:
            raise _explained(error) from None

    def _chunks(self) -> Iterator[bytes]:
        byte_count = 0
        while chunk := self._raw.read(_CHUNK_BYTES, decode_content=True):
            byte_count += len(chunk)
            if byte_count > self._max_bytes:
                raise UnusableAnswer(f"the answer has more than {self._max_bytes} bytes")
            yield chunk


class Wire:
    """One upstream's connections, for all threads of a process."""

    def __init__(self, url: str, options: Mapping[str, Any], *, pool_size: int) -> None:
        """Prepare everything, but connect nowhere (SettingsError for a proxy that will not do).

        options: `timeout_seconds`, `max_answer_bytes`, `verify_tls` and `ca_file` of the kind.
        """
        # Their lines hold whole URLs, and a query may hold a secret.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        self._timeout_seconds: float = options["timeout_seconds"]
        self._max_bytes: int = options["max_answer_bytes"]
        self._adapter = Adapter(_tls_context(options), pool_size)
        self._proxies = _proxies(url)

    @contextmanager
    def call(self, request: requests.PreparedRequest, departure: Departure) -> Iterator[Answer]:
        """Send a request once `departure` allows it, and wait for the head of the answer.

        Raises NoAnswer, and whatever the departure raises.
        """
        response = self._send(request, departure)
        try:
            yield Answer(response, self._max_bytes)
        finally:
            response.close()

    def _send(self, request: requests.PreparedRequest, departure: Departure) -> requests.Response:
        CALL.departure, CALL.timeout_seconds = departure, self._timeout_seconds
        CALL.extend()
        try:
            return self._adapter.send(
                request, stream=True, timeout=self._timeout_seconds, proxies=self._proxies
            )
        except NotStarted as error:
            raise error.reason from None
        except _FAULTS as error:
            raise NoAnswer(_reason(error)) from None


def _tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    if options["verify_tls"] and not options["ca_file"]:
        return _usual_tls_context()
    context = create_urllib3_context()
    if options["ca_file"]:
        context.load_verify_locations(options["ca_file"])
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # One of them a call; the log has said it once.
        urllib3.disable_warnings(InsecureRequestWarning)
    return context


@functools.cache
def _usual_tls_context() -> ssl.SSLContext:
    # Certificates of a company are in the system's store; in containers there often is none.
    context = create_urllib3_context()
    context.load_default_certs()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


def _proxies(url: str) -> dict[str, str]:
    proxies = get_environ_proxies(url)
    proxy = select_proxy(url, proxies)
    if proxy and proxy.lower().startswith("socks"):
        # It would bring connections of its own, which ask for no leave.
        raise SettingsError(
            "The proxy of the environment is a SOCKS proxy, which is not supported."
        )
    return proxies


def _explained(error: Exception) -> Exception:
    causes = list(_causes(error))
    if any(isinstance(cause, IncompleteRead) for cause in causes):
        return UnusableAnswer("the answer is shorter than promised")
    if any(isinstance(cause, DecodeError) for cause in causes):
        return UnusableAnswer("the answer cannot be decompressed")
    return NoAnswer(_reason(error))


def _reason(error: BaseException) -> str:
    """Why a call failed. Their own texts hold URLs, so nothing of them is passed on."""
    causes = list(_causes(error))
    by_proxy = "the proxy: " if any(isinstance(cause, ProxyError) for cause in causes) else ""
    return by_proxy + next(filter(None, map(_known_reason, causes)), _vague_reason(causes))


def _known_reason(error: BaseException) -> str | None:
    for kind, words in _REASONS.items():
        if isinstance(error, kind):
            return words(error)
    return None


def _system_reason(error: OSError) -> str | None:
    # ssl and socket have numbers of their own, which os.strerror does not know.
    return os.strerror(error.errno or 0).lower() if error.errno in errno.errorcode else None


_REASONS: Mapping[type[BaseException], Callable[[Any], str | None]] = {
    ssl.SSLCertVerificationError: lambda e: (
        f"the certificate was not accepted ({e.verify_message})"
    ),
    ssl.SSLError: lambda e: f"TLS failed ({e.reason})",
    socket.gaierror: lambda _: "the name of the host cannot be resolved",
    RemoteDisconnected: lambda _: "the connection was closed without an answer",
    HTTPException: lambda _: "the answer is not HTTP",
    InvalidHeader: lambda _: "the answer is not HTTP",
    OSError: _system_reason,
}


def _vague_reason(causes: Sequence[BaseException]) -> str:
    # urllib3 counts some failures to connect among the time-outs, so this comes last.
    timeouts = (TimeoutError, urllib3.exceptions.TimeoutError)
    is_late = any(isinstance(cause, timeouts) for cause in causes)
    return "no answer in time" if is_late else "the connection broke"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that is behind it; the libraries chain them in several ways."""
    seen: set[int] = set()
    left: list[object] = [error]
    while left:
        one = left.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
