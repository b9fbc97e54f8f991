"""The operator's endpoint: one call, and what came of it in words that hold no secret."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from importlib.metadata import version

import requests

from ingest_app.errors import SettingsError
from ingest_app.settings import Settings
from ingest_app.sources.connections import Departure
from ingest_app.sources.deferrals import deferral_of
from ingest_app.sources.wire import Answer as WireAnswer
from ingest_app.sources.wire import NoAnswer, UnusableAnswer, Wire
from ingest_app.webhook_settings import signing_keys
from ingest_app.webhooks.message import Message
from ingest_app.webhooks.policy import Answer

TIMEOUT_SECONDS = 15.0
_MOST_ANSWER_BYTES = 64 * 1024
_OPTIONS = {
    "timeout_seconds": TIMEOUT_SECONDS,
    "max_answer_bytes": _MOST_ANSWER_BYTES,
    "verify_tls": True,
    "ca_file": None,
}
_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": f"ingest-app/{version('ingest-app')}",
}


class Endpoint:
    """Where messages go, over connections that are kept for the next."""

    def __init__(self, url: str, secret: str) -> None:
        """Prepare the calls, but make none (SettingsError for what cannot be called)."""
        self._keys = signing_keys(secret)
        self._wire = Wire(url, _OPTIONS, pool_size=1)
        try:
            self._url = str(requests.Request("POST", url).prepare().url)
        except (requests.RequestException, ValueError):
            raise SettingsError("webhook_url: its host is none that can exist.") from None

    def tell(self, message: Message, sent_at: datetime) -> Answer:
        """Send the message, signed for this moment; redirects are not followed."""
        headers = {**_HEADERS, **message.headers(self._keys, sent_at)}
        request = requests.Request("POST", self._url, headers, data=message.body).prepare()
        try:
            with self._wire.call(request, Departure(_at_once)) as answer:
                return _read(answer, sent_at)
        except NoAnswer as fault:
            reason = str(fault)
            return Answer(None, f"{reason[:1].upper()}{reason[1:]}.")


def endpoint_of(settings: Settings) -> Endpoint | None:
    """The endpoint that the settings name; None when they name none (SettingsError)."""
    if settings.webhook_url and settings.webhook_secret:
        return Endpoint(settings.webhook_url, settings.webhook_secret)
    return None


def _at_once() -> None:
    """No slot has to be waited for."""


def _read(answer: WireAnswer, sent_at: datetime) -> Answer:
    # Read only so that the connection can be used again; what it says counts for nothing.
    with suppress(NoAnswer, UnusableAnswer):
        answer.body()
    deferral = deferral_of(answer.status, answer.headers, sent_at)
    pause_seconds = (deferral.seconds if deferral else None) or 0.0
    return Answer(answer.status, _words(answer.status), pause_seconds)


def _words(status: int) -> str:
    # The phrase that came with it may be anything, even what we have sent.
    known = {each.value: each.phrase for each in HTTPStatus}
    return f"HTTP {status} {known.get(status, '')}".rstrip() + "."
