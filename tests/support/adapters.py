"""What stands in a client's session for the network: an application, or answers put together."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import requests
from flask import Flask
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

BASE_URL = "http://service.test"


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    body: bytes | io.BytesIO = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


class Scripted(BaseAdapter):
    """Answers in turn, or raises; the requests are kept, with their bodies as they were sent."""

    def __init__(self, *turns: Said | BaseException) -> None:
        super().__init__()
        self._turns = list(turns)
        self.requests: list[requests.PreparedRequest] = []
        self.bodies: list[bytes] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.requests.append(request)
        self.bodies.append(_bytes_of(request.body))
        turn = self._turns.pop(0)
        if isinstance(turn, BaseException):
            raise turn
        return _response(request, turn)

    def close(self) -> None:
        """Nothing is open."""


class AppAdapter(BaseAdapter):
    """Calls a Flask application in this process; what it answers is read to the end first."""

    def __init__(self, app: Flask) -> None:
        super().__init__()
        self._client = app.test_client()

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        answer = self._client.open(
            request.path_url,
            method=request.method,
            data=_bytes_of(request.body),
            headers=[pair for pair in request.headers.items() if pair[0] != "Content-Length"],
        )
        said = Said(answer.status_code, answer.data, dict(answer.headers))
        return _response(request, said)

    def close(self) -> None:
        """Nothing is open."""


class LosingAnswers(AppAdapter):
    """Calls the application, but its first answers are lost on the way."""

    def __init__(self, app: Flask, count: int) -> None:
        super().__init__(app)
        self._left_count = count

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        answer = super().send(request, *args, **more)
        if self._left_count:
            self._left_count -= 1
            raise requests.ConnectionError("lost")
        return answer


class BreakingOff(io.BytesIO):
    """A body whose connection breaks off behind what it has."""

    def read(self, size: int | None = -1) -> bytes:
        read = super().read(size)
        if not read:
            raise requests.ConnectionError("broken")
        return read


def session_of(adapter: BaseAdapter) -> requests.Session:
    """A session that knows nothing but this adapter."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", adapter)
    return session


def _bytes_of(body: Any) -> bytes:
    if isinstance(body, Iterable) and not isinstance(body, bytes | str):
        return b"".join(body)
    return body.encode() if isinstance(body, str) else body or b""


def _response(request: requests.PreparedRequest, said: Said) -> requests.Response:
    response = requests.Response()
    response.status_code, response.request, response.url = said.status, request, request.url or ""
    response.headers = CaseInsensitiveDict(said.headers)
    response.raw = said.body if isinstance(said.body, io.BytesIO) else io.BytesIO(said.body)
    response.reason = HTTPStatus(said.status).phrase
    return response
