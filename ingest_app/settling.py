"""Record what became of batches: several in one transaction, where they end together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from ingest_app.clock import Clock, Moment
from ingest_app.database import Database
from ingest_app.errors import DatabaseError, StaleClaim
from ingest_app.events import emit
from ingest_app.outcomes import Outcome, lost
from ingest_app.queue.claim import Claim

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class Ended(NamedTuple):
    """A call that has ended; `called` is when it began, None if it was not made."""

    claim: Claim
    called: Moment | None
    outcome: Outcome


class Settler:
    """Settles the batches of one source, and says so in the log."""

    def __init__(
        self, database: Database, clock: Clock, *, failed: Callable[[Exception, Claim], Outcome]
    ) -> None:
        """`failed` tells how a batch ends whose records cannot be stored, for this reason."""
        self._database = database
        self._clock = clock
        self._failed = failed

    def settle(self, ended: Ended) -> None:
        """Record one. Raises DatabaseError, and then it is to be tried again."""
        try:
            self._record(ended)
        except DatabaseError:
            raise
        except StaleClaim:
            self.settle(ended._replace(outcome=lost()))
        except Exception as error:  # what was fetched cannot be stored: as if the call had failed
            self._settle_failed(ended._replace(outcome=self._failed(error, ended.claim)))
        else:
            _tell(ended)

    def settle_together(self, all_ended: Sequence[Ended], claim: Callable[[], Result]) -> Result:
        """Record several and make a claim, in one transaction, or nothing of it.

        Raises DatabaseError, and whatever keeps one of them from being recorded: then each has to
        be settled alone.
        """
        with self._database.as_one():
            for ended in all_ended:
                self._record(ended)
            result = claim()
        for ended in all_ended:
            _tell(ended)
        return result

    def _settle_failed(self, ended: Ended) -> None:
        try:
            self._record(ended)
        except DatabaseError:
            raise
        except Exception:
            log_crash(ended.claim)
        else:
            _tell(ended)

    def _record(self, ended: Ended) -> None:
        claim, called, outcome = ended
        outcome.record(self._database, claim, called=called, clock=self._clock)


def facts_of(claim: Claim) -> dict[str, Any]:
    """What every event about a claim says of it."""
    return {
        "batch_id": claim.batch_id,
        "source": claim.source,
        "attempt": claim.attempt,
        "dispatch_id": claim.dispatch_id,
    }


def log_crash(claim: Claim) -> None:
    """Say that a mistake of ours leaves the batch to its lease; to be called where it is caught."""
    # The lease brings it back and counts the attempt, or it would go round for ever.
    _log.exception("batch_crashed batch_id=%s", claim.batch_id)


def _tell(ended: Ended) -> None:
    outcome = ended.outcome
    emit(_log, outcome.event, level=outcome.level, **facts_of(ended.claim), **outcome.told)
