"""Any HTTP API that answers with JSON."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import requests

from ingest_app.errors import UpstreamBusy, UpstreamError, UpstreamRejected, UpstreamUnreachable
from ingest_app.events import emit
from ingest_app.items import FetchedRecord, ItemId
from ingest_app.settings import SourceSettings
from ingest_app.sources import answers
from ingest_app.sources.base import SourceKind
from ingest_app.sources.connections import Departure
from ingest_app.sources.http_options import HttpOptions
from ingest_app.sources.statuses import Refused, check_status
from ingest_app.sources.templates import EACH, RequestTemplate
from ingest_app.sources.veil import Veil
from ingest_app.sources.wire import NoAnswer, UnusableAnswer, Wire

_NOT_THERE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)

Records = dict[ItemId, FetchedRecord]

_log = logging.getLogger(__name__)


class HttpSource(SourceKind):
    """Asks for all IDs of a batch in one call ({ids}) or for each in a call of its own ({id})."""

    options = HttpOptions

    def __init__(self, settings: SourceSettings) -> None:
        """Prepare the calls, but make none (SettingsError for a proxy that will not do)."""
        options = settings.options
        self._options = options
        self._template = RequestTemplate(
            options["url"], options["query"], options["body"], options["separator"]
        )
        self._asks_each = self._template.placeholders == {EACH}
        self._headers = _headers(options)
        self._veil = Veil(settings.secrets, options["url"])
        self._wire = Wire(options["url"], options, pool_size=settings.max_in_flight)
        self._warn(settings)

    def fetch(self, ids: Sequence[ItemId], start: Callable[[], None]) -> Sequence[FetchedRecord]:
        """Call the upstream for one batch; with {id}, several times one after the other.

        Raises UpstreamUnreachable, UpstreamBusy, UpstreamRejected or UpstreamError, each with what
        was fetched until then.
        """
        departure = Departure(start)
        refused = {item: self._template.why_not(item) for item in ids}
        records = {item: answers.failed(item, why) for item, why in refused.items() if why}
        asked = [item for item in refused if item not in records]
        try:
            if self._asks_each:
                self._fetch_each(asked, departure, records)
            elif asked:
                records |= self._fetch_all(asked, departure)
        except UpstreamError as error:
            error.fetched = tuple(records[item] for item in ids if item in records)
            raise
        return [records[item] for item in ids]

    def _fetch_all(self, ids: Sequence[ItemId], departure: Departure) -> Records:
        with self._ask(ids, departure) as answer:
            return answers.records_of_all(answer, ids, **self._where())

    def _fetch_each(self, ids: Sequence[ItemId], departure: Departure, records: Records) -> None:
        failures = []
        for item in ids:
            try:
                records[item] = self._fetch_one(item, departure)
            except (UpstreamBusy, UpstreamRejected, UpstreamUnreachable):
                raise
            except UpstreamError as error:  # the others may fare better
                failures.append(str(error))
        if failures:
            raise UpstreamError(f"{len(failures)} of {len(ids)} IDs: {failures[0]}")

    def _fetch_one(self, item: ItemId, departure: Departure) -> FetchedRecord:
        try:
            with self._ask([item], departure) as answer:
                return answers.record_of_one(answer, item, **self._where())
        except Refused as refused:
            if refused.status in _NOT_THERE:
                return answers.missing(item)
            return answers.failed(item, str(refused))

    def _where(self) -> dict[str, str]:
        return {"items": self._options["items"], "id_field": self._options["id_field"]}

    @contextmanager
    def _ask(self, ids: Sequence[ItemId], departure: Departure) -> Iterator[Any]:
        """The JSON of the answer; what the block finds wrong with it is said of this call."""
        method, filled = self._options["method"], self._template.fill(ids)
        request = requests.Request(method, filled.url, self._headers, data=filled.body).prepare()
        place = f"{method} {self._veil.address(filled.url)}"
        try:
            with self._wire.call(request, departure) as answer:
                check_status(answer, place, filled.url, self._veil)
                is_empty = answer.status == HTTPStatus.NO_CONTENT
                body = answer.body()
            yield None if is_empty else answers.parse(body)
        except NoAnswer as fault:
            raise UpstreamUnreachable(self._veil.over(f"{place}: {fault}.")) from None
        except (UnusableAnswer, answers.UnexpectedAnswer) as fault:
            raise UpstreamError(self._veil.over(f"{place}: {fault}.")) from None
        except answers.SameIdTwice as fault:
            raise UpstreamRejected(self._veil.over(f"{place}: {fault}.")) from None

    def _warn(self, settings: SourceSettings) -> None:
        if self._asks_each and settings.batch_size > 1:
            facts = {"source": settings.name, "batch_size": settings.batch_size}
            emit(_log, "slot_is_several_calls", level=logging.WARNING, **facts)
        if not self._options["verify_tls"]:
            emit(_log, "tls_not_verified", level=logging.WARNING, source=settings.name)


def _headers(options: Mapping[str, Any]) -> dict[str, str]:
    ours = {
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": f"ingest-app/{version('ingest-app')}",
    }
    if options["body"] is not None:
        ours["Content-Type"] = "application/json"
    given = {name.lower() for name in options["headers"]}
    return {name: value for name, value in ours.items() if name.lower() not in given} | dict(
        options["headers"]
    )
