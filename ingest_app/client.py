"""The service as a program sees it: one method for each thing it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from urllib.parse import quote

import requests

from ingest_app.client_answers import (
    Entry,
    Forecast,
    Listed,
    ListedEntry,
    Preview,
    Sources,
    SourceState,
    Stored,
)
from ingest_app.client_connection import Connection

DEFAULT_URL = "http://127.0.0.1:8000"
_JSON = {"Content-Type": "application/json"}


class Body(Protocol):
    """JSON that can be sent as often as needed: its length in bytes, and its chunks."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...


class Client:
    """One service over HTTP; every method raises RequestFailed.

    Requests are repeated a few times when there is no answer, or a 429, 502, 503 or 504; all of
    them may be but a submission without a key.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect to nothing yet; ValueError when `url` cannot be one, UnusableKey for `key`.

        url: the address of a service. key: an API key; None to go without.
        """
        self._connection = Connection(url, key=key, session=session, sleep=sleep)

    def submit(self, submission: Body, *, key: str | None) -> str:
        """Hand over IDs, and return the ingestion's id.

        key: a name for the submission, under which it is stored once however often it is sent.
        """
        named = {} if key is None else {"Idempotency-Key": _quoted(key)}
        answer = self._connection.post(
            "/ingest",
            Stored,
            is_repeatable=key is not None,
            data=submission,
            headers=_JSON | named,
        )
        return answer["ingestion_id"]

    def preview(self, submission: Body | bytes) -> Preview:
        """What would become of a submission at each priority, without making it."""
        return self._connection.post("/forecast", Preview, data=submission, headers=_JSON)

    def ingestion(self, ingestion_id: str) -> Entry:
        """How far an ingestion is."""
        return self._connection.get(_path(ingestion_id), Entry)

    def forecast(self, ingestion_id: str) -> Forecast:
        """When an ingestion goes on and ends."""
        return self._connection.get(_path(ingestion_id, "/forecast"), Forecast)

    def ingestions(self, **wanted: Any) -> Iterator[ListedEntry]:
        """Ingestions, newest first; `wanted` as in `GET /ingestions`, None for any."""
        for page in self._connection.pages("/ingestions", Listed, forecast="true", **wanted):
            yield from page["ingestions"]

    def records(self, ingestion_id: str, **wanted: Any) -> Iterator[bytes]:
        """What was fetched, as it arrives; `wanted` as in `GET /ingestions/{id}/records`."""
        return self._connection.stream(_path(ingestion_id, "/records"), **wanted)

    def cancel(self, ingestion_id: str) -> Entry:
        """Cancel the batches that wait."""
        return self._connection.post(_path(ingestion_id, "/cancel"), Entry)

    def retry(self, ingestion_id: str, *, all_ids: bool = False) -> Entry:
        """Let failed batches wait again: the IDs that failed, or all of theirs."""
        wish = {"ids": "all" if all_ids else "failed"}
        return self._connection.post(_path(ingestion_id, "/retry"), Entry, json=wish)

    def sources(self) -> list[SourceState]:
        """The pace of each source, and why nothing goes."""
        return self._connection.get("/sources", Sources)["sources"]

    def pause(self, source: str) -> SourceState:
        """Dispatch nothing of a source from now on."""
        return self._connection.post(f"/sources/{quote(source, '')}/pause", SourceState)

    def resume(self, source: str) -> SourceState:
        """Let a source go on."""
        return self._connection.post(f"/sources/{quote(source, '')}/resume", SourceState)


def _path(ingestion_id: str, below: str = "") -> str:
    return f"/ingestions/{quote(ingestion_id, '')}{below}"


def _quoted(key: str) -> str:
    # A string as in RFC 8941, 3.3.3.
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
