"""What a source is: anything that turns IDs into records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from marshmallow import Schema

from ingest_app.items import FetchedRecord, ItemId
from ingest_app.settings import SourceSettings


class Source(Protocol):
    """An upstream API. One instance serves all threads of a process."""

    def fetch(self, ids: Sequence[ItemId], start: Callable[[], None]) -> Sequence[FetchedRecord]:
        """Call the upstream for one batch: one record for each of `ids`, in any order.

        start: to be called once, when all is ready and right before the request leaves: it returns
            when the slot allows it. What it raises must not be caught. Without a call, where all of
            the IDs are errors before, it is not called either.
        Raises UpstreamError when some of the IDs are to be asked for again, UpstreamBusy when the
        upstream wants a pause, and UpstreamRejected when it will never answer. Any other exception
        counts as UpstreamError.
        """


class SourceKind(Source, Protocol):
    """A kind of source: the class behind a `kind` in the settings."""

    options: ClassVar[type[Schema]]
    """What a `[sources.NAME]` section of this kind may set, besides what all kinds have."""

    def __init__(self, settings: SourceSettings) -> None:
        """Make the source that these settings describe; no call may be made yet."""
