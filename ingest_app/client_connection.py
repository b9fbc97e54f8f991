"""How a client reaches the service: here alone are requests made, repeated and refused."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import requests
import requests.auth
from requests import Response
from urllib3.exceptions import HTTPError, InvalidHeader, NewConnectionError
from urllib3.util import Retry

from ingest_app.client_shape import fits
from ingest_app.errors import ForeignAnswer, RequestFailed

_Shape = TypeVar("_Shape")

_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 60.0
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0)
"""Before each repetition of a request that may be repeated; after the last there is none."""

_LONGEST_PAUSE_SECONDS = 30.0
_NO_ADDRESS = "It must be an address like http://127.0.0.1:8000."
_NO_KEY = "The API key has characters that none has; it is not shown here."
_KEY = re.compile(r"[!-~]{1,512}", re.ASCII)
_CHUNK_BYTES = 64 * 1024
_MAY_PASS = frozenset(
    {
        None,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class UnusableKey(ValueError):
    """What was given as an API key cannot be one; its text is not told."""


class Connection:
    """Requests to one service; everything raises RequestFailed, also an answer of another shape.

    What may be repeated is, a few times, when there is no answer, or one that may pass. Redirects
    are not followed: what is handed over stays where the user sent it.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        session: requests.Session | None,
        sleep: Callable[[float], None],
    ) -> None:
        """Connect to nothing yet; ValueError when `url` cannot be one, UnusableKey for `key`."""
        _check_url(url)
        if key is not None and not _KEY.fullmatch(key):
            raise UnusableKey(_NO_KEY)
        self.url = url.rstrip("/")
        self._session = session or _session_for(self.url)
        if key is not None:
            self._session.auth = _Bearer(key)
        self._sleep = sleep

    def get(self, path: str, shape: type[_Shape], **query: Any) -> _Shape:
        """The value that a GET answers with; parameters that are None are left out."""
        return self._value(self._send("GET", path, params=query), shape)

    def pages(self, path: str, shape: type[_Shape], **query: Any) -> Iterator[_Shape]:
        """The values of all pages, as their Links lead on (RFC 8288)."""
        passed = set[str]()
        while True:
            answer = self._send("GET", path, params=query)
            yield self._value(answer, shape)
            following = self._next_query(answer)
            if following is None:
                return
            if following in passed:
                raise self._foreign("its pages lead round in a circle")
            passed.add(following)
            query = dict(parse_qsl(following))

    def stream(self, path: str, **query: Any) -> Iterator[bytes]:
        """What a GET answers with, as it arrives; an end before the end raises."""
        answer = self._send("GET", path, params=query, stream=True)
        with closing(answer):
            try:
                yield from answer.iter_content(_CHUNK_BYTES)
            except (requests.RequestException, HTTPError) as error:
                raise RequestFailed(f"{self._place} broke off in the middle.") from error

    def post(
        self, path: str, shape: type[_Shape], *, is_repeatable: bool = True, **more: Any
    ) -> _Shape:
        """The value that a POST answers with."""
        answer = self._send("POST", path, is_repeatable=is_repeatable, **more)
        return self._value(answer, shape)

    def _send(self, method: str, path: str, *, is_repeatable: bool = True, **more: Any) -> Response:
        pauses = iter(_PAUSES_SECONDS if is_repeatable else ())
        may_have_arrived = False
        while True:
            try:
                return self._send_once(method, path, **more)
            except RequestFailed as failure:
                may_have_arrived = failure.may_have_arrived = (
                    may_have_arrived or failure.may_have_arrived
                )
                pause_seconds = next(pauses, None)
                if pause_seconds is None or not _is_worth_repeating(failure):
                    raise
                self._sleep(max(pause_seconds, failure.retry_after_seconds))

    def _send_once(self, method: str, path: str, **more: Any) -> Response:
        try:
            answer = self._session.request(
                method,
                self.url + path,
                timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
                allow_redirects=False,
                **more,
            )
        except (requests.RequestException, HTTPError) as error:
            raise RequestFailed(
                f"{self._place} cannot be reached: {_reason(error)}.",
                may_have_arrived=not _is_of_connecting(error),
            ) from error
        except UnicodeDecodeError as error:  # a redirect to no text, at which requests looks
            raise self._foreign() from error
        if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            with closing(answer):
                raise self._failure(answer)
        return answer

    def _failure(self, answer: Response) -> RequestFailed:
        problem = _problem_in(answer)
        if not fits(problem.get("detail"), str | None) or not _are_errors(problem.get("errors")):
            return self._foreign()
        return RequestFailed(
            problem.get("detail") or self._said(answer),
            status=answer.status_code,
            errors=problem.get("errors"),
            retry_after_seconds=_retry_after_seconds(answer),
        )

    def _said(self, answer: Response) -> str:
        if answer.is_redirect:
            return f"{self._place} sends on to {answer.headers['Location']}: use that address."
        return f"{self._place} answered {answer.status_code} {answer.reason}."

    def _value(self, answer: Response, shape: type[_Shape]) -> _Shape:
        value = _json_in(answer)
        if not fits(value, shape):
            raise self._foreign()
        return value  # type: ignore[no-any-return]

    def _next_query(self, answer: Response) -> str | None:
        following = answer.links.get("next")
        if following is None:
            return None
        try:
            # Only what it asks for: where the service is we know, also behind a proxy.
            return urlsplit(following["url"]).query
        except ValueError as error:
            raise self._foreign() from error

    def _foreign(self, why: str = "") -> ForeignAnswer:
        return ForeignAnswer(
            f"{self._place} is not this service, by its answer{why and f': {why}'}."
        )

    @property
    def _place(self) -> str:
        parts = urlsplit(self.url)
        # Without the password that may be in it.
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


class _Bearer(requests.auth.AuthBase):
    """Sends an API key; as a session's `auth`, since ~/.netrc would come before a header."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(_NO_ADDRESS)
    parts.port  # noqa: B018 (raises ValueError when it is none)
    try:
        prepared = requests.Request("GET", url).prepare().url
        # Else it is found out at the connection: labels may be neither empty nor too long.
        str(urlsplit(prepared).hostname).encode("idna")
    except (requests.RequestException, HTTPError, UnicodeError) as error:
        raise ValueError(_NO_ADDRESS) from error


def _session_for(url: str) -> requests.Session:
    session = requests.Session()
    if _is_loopback(urlsplit(url).hostname or ""):
        # A proxy of the environment is not for this machine, but its authorities are.
        session.trust_env = False
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    return session


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_worth_repeating(failure: RequestFailed) -> bool:
    if isinstance(failure, ForeignAnswer):
        return False
    return failure.status in _MAY_PASS and failure.retry_after_seconds <= _LONGEST_PAUSE_SECONDS


def _reason(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, requests.Timeout):
            return "no answer in time"
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"{seen.verify_message} (REQUESTS_CA_BUNDLE=FILE names an authority of your own)"
        if isinstance(seen, ssl.SSLError) and seen.reason:
            return f"no TLS with it, {seen.reason.replace('_', ' ').lower()}"
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
        seen = seen.__cause__ or seen.__context__
    return "the connection broke off without an answer"


def _is_of_connecting(error: BaseException) -> bool:
    if isinstance(error, requests.ConnectTimeout):
        return True
    (cause, *_) = (*error.args, None)
    return isinstance(getattr(cause, "reason", None), NewConnectionError)


def _problem_in(answer: Response) -> Mapping[str, Any]:
    if not answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        return {}
    problem = _json_in(answer)
    return problem if isinstance(problem, dict) else {}


def _json_in(answer: Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError, requests.RequestException):
        return None


def _are_errors(errors: object) -> bool:
    """True when they are fields with sentences, or with positions that have some."""
    sentences = str | list[str]
    return fits(errors, dict[str, sentences | dict[str, sentences]] | None)


def _retry_after_seconds(answer: Response) -> float:
    try:
        return Retry().parse_retry_after(answer.headers.get("Retry-After", "0"))
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
