"""What the status of an answer means, in words for people."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import urljoin

from ingest_app.errors import UpstreamBusy, UpstreamError, UpstreamRejected
from ingest_app.sources.deferrals import deferral_of
from ingest_app.sources.veil import Veil
from ingest_app.sources.wire import Answer, NoAnswer, UnusableAnswer

_OF_THE_MOMENT = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)
"""The same request may be sent again (RFC 9110 section 15.5.9, RFC 8470 section 5.2)."""


class Refused(UpstreamRejected):
    """The upstream answered with another 4xx than those that ask for patience."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def check_status(answer: Answer, place: str, url: str, veil: Veil) -> None:
    """Return if the call succeeded.

    place: the call in words. url: what was asked for, to which a redirect may be relative.
    Raises UpstreamBusy for 429, and for 503 with a time to wait, UpstreamRejected for a redirect,
        Refused for what is final, and UpstreamError for all else.
    """
    if 200 <= answer.status < 300 and answer.status != HTTPStatus.PARTIAL_CONTENT:
        return
    text = veil.over(f"HTTP {answer.status} {answer.reason}".rstrip() + f" from {place}")
    deferral = deferral_of(answer.status, answer.headers, datetime.now(UTC))
    if deferral:
        raise UpstreamBusy(f"{text}.", retry_after_seconds=deferral.seconds)
    if 300 <= answer.status < 400:
        raise UpstreamRejected(f"{text}, {_direction(answer, url, veil)}.")
    text += _excerpt(answer, veil)
    if 400 <= answer.status < 500 and answer.status not in _OF_THE_MOMENT:
        raise Refused(text, answer.status)
    raise UpstreamError(text)


def _direction(answer: Answer, url: str, veil: Veil) -> str:
    # To follow it would be a second call in one slot, and might show the secrets to another host.
    location = answer.headers.get("Location")
    if not location:
        return "which points nowhere"
    try:
        address = veil.address(urljoin(url, location))
    except ValueError:
        return "which points to an address that is none"
    return f"which points to {address}; no redirect is followed, so put that address into `url`"


def _excerpt(answer: Answer, veil: Veil) -> str:
    try:
        body = answer.body()  # read in any case, so that the connection can be used again
    except (NoAnswer, UnusableAnswer):
        return "."
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_text = media_type == "text/plain" or media_type.endswith("json")
    excerpt = veil.excerpt(body.decode(errors="replace")) if is_text else ""
    return f": {excerpt}" if excerpt else "."
