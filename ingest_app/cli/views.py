"""How what is followed is shown: lines, JSON, or bars on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ingest_app.cli.following import Snapshot
from ingest_app.cli.forecasting import in_a_line
from ingest_app.cli.output import note, print_json, say
from ingest_app.cli.wording import count
from ingest_app.client_answers import Entry
from ingest_app.errors import RequestFailed

_LINE_EVERY_SECONDS = 10.0


class View(AbstractContextManager[Any], Protocol):
    """Shows what is followed, while it is entered."""

    def show(self, snapshot: Snapshot) -> None:
        """Show how far one is now."""

    def tell_silence(self, failure: RequestFailed) -> None:
        """Show that there was no answer, and that there may be one yet."""


class LineView(AbstractContextManager["LineView"]):
    """For a pipe or a log: a line when something has changed, but not too many."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._shown: dict[str, tuple[str, float]] = {}

    def __exit__(self, *_: object) -> None:
        """Nothing is left to end."""

    def show(self, snapshot: Snapshot) -> None:
        """Write a line, unless it is as before, or one was written just now."""
        name, now = snapshot.entry["ingestion_id"], self._monotonic()
        line = ending(snapshot.entry) if snapshot.has_ended else progress(snapshot)
        before, at = self._shown.get(name, ("", now - _LINE_EVERY_SECONDS))
        if snapshot.has_ended or (line != before and now - at >= _LINE_EVERY_SECONDS):
            say(line)
            self._shown[name] = (line, now)

    def tell_silence(self, failure: RequestFailed) -> None:
        """Write a remark."""
        note(f"{failure} Trying again.")


class JsonView(AbstractContextManager["JsonView"]):
    """For programs: a line of JSON whenever a count or the state has changed."""

    def __init__(self) -> None:
        self._shown: dict[str, Entry] = {}

    def __exit__(self, *_: object) -> None:
        """Nothing is left to end."""

    def show(self, snapshot: Snapshot) -> None:
        """Write a line, unless the ingestion is as before."""
        name = snapshot.entry["ingestion_id"]
        if self._shown.get(name) != snapshot.entry:
            print_json({**snapshot.entry, "forecast": snapshot.forecast})
            self._shown[name] = snapshot.entry

    def tell_silence(self, failure: RequestFailed) -> None:
        """Write a remark."""
        note(f"{failure} Trying again.")


def progress(snapshot: Snapshot) -> str:
    """How far it is, on one line."""
    entry = snapshot.entry
    ended = f"{snapshot.ended_count:,} of {count(entry['batch_count'], 'batch')} ended"
    return f"{entry['ingestion_id']} {ended}; {in_a_line(snapshot.forecast)}"


def ending(entry: Entry) -> str:
    """What became of it, and what can be done now."""
    name, counts, whole = (
        entry["ingestion_id"],
        entry["counts"],
        count(entry["batch_count"], "batch"),
    )
    if entry["status"] == "failed":
        return (
            f"{name} failed: {counts.get('failed', 0):,} of {whole}."
            f" Why: ingest records {name} --outcome error. Again: ingest retry {name}"
        )
    if entry["status"] == "cancelled":
        return f"{name} cancelled: {counts.get('cancelled', 0):,} of {whole}."
    return f"{name} completed: {whole}, {count(entry['id_count'], 'ID')}."
