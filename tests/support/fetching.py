"""Sources that do what a test needs of an upstream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ingest_app.items import FetchedRecord, ItemId
from ingest_app.states import RecordOutcome

TIMEOUT_SECONDS = 20.0
"""After so long a wait for another thread, something is broken."""


def fetch_all(ids: Sequence[ItemId]) -> Sequence[FetchedRecord]:
    return [FetchedRecord(item, RecordOutcome.FETCHED, data={"id": item}) for item in ids]


class FakeSource:
    """Remembers the calls and answers as the test says."""

    def __init__(
        self, answer: Callable[[Sequence[ItemId]], Sequence[FetchedRecord]] = fetch_all
    ) -> None:
        self.calls: list[tuple[ItemId, ...]] = []
        self._answer = answer

    def fetch(self, ids: Sequence[ItemId], start: Callable[[], None]) -> Sequence[FetchedRecord]:
        start()
        self.calls.append(tuple(ids))
        return self._answer(ids)


class SourceThatDoesNotStart(FakeSource):
    """Makes its call without having asked whether its slot allows it."""

    def fetch(self, ids: Sequence[ItemId], start: Callable[[], None]) -> Sequence[FetchedRecord]:  # noqa: ARG002
        return super().fetch(ids, lambda: None)


class HangingSource(FakeSource):
    """Answers only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.called = threading.Event()
        self.may_answer = threading.Event()

    def fetch(self, ids: Sequence[ItemId], start: Callable[[], None]) -> Sequence[FetchedRecord]:
        start()
        self.called.set()
        assert self.may_answer.wait(TIMEOUT_SECONDS)
        return super().fetch(ids, lambda: None)


def broken(error: Exception) -> FakeSource:
    """A source whose every call raises."""

    def answer(_ids: Sequence[ItemId]) -> Sequence[FetchedRecord]:
        raise error

    return FakeSource(answer)


def incomplete() -> FakeSource:
    """A source that forgets the last ID of every batch."""
    return FakeSource(lambda ids: fetch_all(ids[:-1]))


def disordered() -> FakeSource:
    """A source that returns every batch backwards."""
    return FakeSource(lambda ids: fetch_all(ids[::-1]))
