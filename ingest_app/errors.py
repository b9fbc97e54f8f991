"""Every error of the service, one sentence each; the facts are attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class IngestError(Exception):
    """Base of all errors this package raises on purpose."""


class SettingsError(IngestError):
    """A setting has a value the service cannot run with."""


class UnknownIngestion(IngestError):
    """No ingestion has this id."""

    def __init__(self, ingestion_id: str) -> None:
        super().__init__("There is no ingestion with this id.")
        self.ingestion_id = ingestion_id


class UnknownSource(IngestError):
    """No source is configured under this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"There is no such source; the known ones are: {', '.join(known)}.")
        self.name = name
        self.known = tuple(known)


class NoSuchSource(UnknownSource):
    """Neither the settings nor the database know a source of this name."""


class IdempotencyKeyReused(IngestError):
    """The key came with another submission before; this one was not stored."""

    def __init__(self, key: str, ingestion_id: str) -> None:
        super().__init__("This Idempotency-Key was sent with another submission; send a new one.")
        self.key = key
        self.ingestion_id = ingestion_id


class KeyNeeded(IngestError):
    """Nothing was sent that says who makes the request, and only some may."""

    def __init__(self) -> None:
        super().__init__("Send an API key, as in Authorization: Bearer ing_...")


class KeyRefused(IngestError):
    """What was sent is no API key that is valid; `is_bearer` says whether it was sent as one."""

    def __init__(self, *, is_bearer: bool = True) -> None:
        super().__init__(
            "This API key is not known here, or was revoked."
            if is_bearer
            else "Authorization is not of the form Bearer ing_..., so there is no API key in it."
        )
        self.is_bearer = is_bearer


class RoleTooLow(IngestError):
    """The API key is valid, but not for this."""

    def __init__(self, role: str, needed: str) -> None:
        super().__init__(f"This needs an API key with the role {needed}; yours has {role}.")
        self.role = role
        self.needed = needed


class NotForStrangers(IngestError):
    """No API key was created, so the service answers this machine alone."""

    def __init__(self) -> None:
        super().__init__(
            "No API key has been created, so the service answers only its own machine, without a"
            " proxy between: create a key (ingest keys create NAME --role operator), or set"
            " INGEST_ALLOW_ANONYMOUS=1."
        )


class KeyNameTaken(IngestError):
    """There is an API key of this name already, perhaps a revoked one."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is an API key named {name} already; names are not used twice.")
        self.name = name


class UnknownKey(IngestError):
    """No API key has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no API key named {name}.")
        self.name = name


class UnusableKeyName(IngestError):
    """An API key or owner may not be named so."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is no name for an API key or owner: 1 to 63 letters, digits and . _ @ -,"
            " beginning with a letter or digit."
        )
        self.name = name


class TryLater(IngestError):
    """There was too much of it; after `retry_after_seconds` the same may be accepted."""

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooManyRequests(TryLater):
    """The API key has made as many requests within a minute as it may."""

    def __init__(self, limit: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"This API key may make {limit:,} requests a minute, and has; the next one in"
            f" {retry_after_seconds} s.",
            retry_after_seconds,
        )
        self.limit = limit


class TooManySignIns(TryLater):
    """There were as many sign-ins on the page with this API key within a minute as there may be."""

    def __init__(self, limit: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"There may be {limit:,} sign-ins a minute with one API key, and were; the next one in"
            f" {retry_after_seconds} s.",
            retry_after_seconds,
        )
        self.limit = limit


class TooManyAttempts(TryLater):
    """So many keys that are not valid came from one address that none more is looked at now."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            "Too many API keys that are not valid came from your address; this one was not looked"
            f" at. Try again in {retry_after_seconds} s.",
            retry_after_seconds,
        )


class TooManyWaiting(TryLater):
    """The IDs of its owner's ingestions that have not ended would be more than are allowed."""

    def __init__(self, limit: int, *, under_way_count: int, asked_count: int) -> None:
        super().__init__(
            f"At most {limit:,} IDs of your ingestions that have not ended are allowed; there are"
            f" {under_way_count:,}, and this submission has {asked_count:,}. Nothing was stored.",
            retry_after_seconds=60,  # nobody can tell when enough of them have ended
        )
        self.limit = limit
        self.under_way_count = under_way_count
        self.asked_count = asked_count


class MoreThanMayWait(IngestError):
    """A submission has more IDs by itself than its owner's that have not ended may have."""

    def __init__(self, limit: int, *, asked_count: int) -> None:
        super().__init__(
            f"At most {limit:,} IDs of your ingestions that have not ended are allowed, and this"
            f" submission alone has {asked_count:,}: submit fewer at once."
        )


class StaleClaim(IngestError):
    """The batch was given to another worker, so this one may not settle it."""

    def __init__(self, batch_id: int) -> None:
        super().__init__(f"Batch {batch_id} is no longer held by this claim.")
        self.batch_id = batch_id


class SlotTaken(IngestError):
    """A call that starts late may not be made: its slot is gone, or it is wanted no more."""

    def __init__(self, batch_id: int) -> None:
        super().__init__("The call would have been too late: for its slot, or after a stop.")
        self.batch_id = batch_id


class UnknownDelivery(IngestError):
    """No delivery has this number."""

    def __init__(self, delivery_id: int) -> None:
        super().__init__(f"There is no delivery {delivery_id}.")
        self.delivery_id = delivery_id


class NoEndpoint(IngestError):
    """Nobody is to be told when an ingestion ends."""

    def __init__(self) -> None:
        super().__init__("There is no endpoint: set webhook_url and webhook_secret, and restart.")


class UpstreamError(IngestError):
    """A call did not bring all it asked for; what is missing is asked for again, later.

    fetched: the records (`FetchedRecord`) it brought all the same, for some of the IDs.
    """

    def __init__(self, message: str, *, fetched: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.fetched = tuple(fetched)


class UpstreamUnreachable(UpstreamError):
    """No connection could be made, or no answer came in time: the next call would fare alike."""


class UpstreamBusy(UpstreamError):
    """The upstream asks to be left alone for a while; it costs the batch nothing.

    retry_after_seconds: for how long; None when it does not say (a failure of the source).
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        fetched: Sequence[Any] = (),
    ) -> None:
        super().__init__(message, fetched=fetched)
        self.retry_after_seconds = retry_after_seconds


class UpstreamRejected(UpstreamError):
    """The upstream will never answer this request."""


class DatabaseError(IngestError):
    """The database could not do what was asked; nothing of it was kept."""

    retry_after_seconds = 5


class DatabaseBusy(DatabaseError):
    """Another process held the write lock for longer than the time to wait for it."""

    retry_after_seconds = 1


class DatabaseFull(DatabaseError):
    """The disk under the database is full."""

    retry_after_seconds = 30


class DatabaseUnavailable(DatabaseError):
    """The database cannot be opened, read or written."""

    retry_after_seconds = 10


class NoDatabase(DatabaseUnavailable):
    """Where the database should be, nothing is; `path`."""

    def __init__(self, path: object) -> None:
        """Take the path of the file."""
        super().__init__(f"There is no database {path} yet; the service makes it.")
        self.path = path


class SnapshotExpired(DatabaseError):
    """What was read part by part was not taken in time, and others may not wait for it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The answer was not taken within {seconds:g} s; it ends here.")
        self.seconds = seconds


class MigrationError(IngestError):
    """The schema of the database cannot be brought to the one this code needs."""


class MaintenanceRefused(IngestError):
    """What was asked of the database file as a whole is not safe; nothing was changed."""


class RequestFailed(IngestError):
    """The service did not do what a client asked of it.

    status: of its answer; None when there was none, or none to the end.
    errors: which fields it did not accept and why, as in its problem (RFC 9457).
    retry_after_seconds: how long it asked to be left alone.
    may_have_arrived: False when no connection was made, so that nothing can have been sent.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        errors: Mapping[str, Any] | None = None,
        retry_after_seconds: float = 0.0,
        may_have_arrived: bool = True,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors or {}
        self.retry_after_seconds = retry_after_seconds
        self.may_have_arrived = may_have_arrived

    @property
    def is_refusal(self) -> bool:
        """True when the service said no, and would again; False when it may have been unable."""
        return self.status is not None and 300 <= self.status < 500 and self.status != 429


class ForeignAnswer(RequestFailed):
    """What answered is not this service: nothing that it says is believed."""
