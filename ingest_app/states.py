"""The words that tables and answers use: priorities, states, outcomes and roles."""

from __future__ import annotations

import enum


class Priority(enum.StrEnum):
    """How urgent an ingestion is."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"

    @property
    def rank(self) -> int:
        """The queue's order: 0 goes first."""
        return list(Priority).index(self)


class BatchStatus(enum.StrEnum):
    """The states of a batch; an ingestion derives its own from them, in the same words."""

    YET_TO_START = "yet_to_start"  # waits for its slot, for the first time or again
    TRIGGERED = "triggered"  # claimed by a worker, under a lease
    COMPLETED = "completed"  # fetched, its records stored
    FAILED = "failed"  # attempts used up, or the upstream said never
    CANCELLED = "cancelled"  # taken out of the queue by a person


ENDS = (BatchStatus.FAILED, BatchStatus.CANCELLED, BatchStatus.COMPLETED)
"""The states in which a batch stays; an ingestion that ended has the first that any of its has."""


class DispatchOutcome(enum.StrEnum):
    """How one dispatch of a batch ended."""

    COMPLETED = "completed"  # its records were stored
    RETRIED = "retried"  # it failed and the batch waits for another attempt
    FAILED = "failed"  # it failed and the batch with it
    DEFERRED = "deferred"  # the upstream asked for a pause; the batch waits, at no cost
    RELEASED = "released"  # handed back by its worker, which was stopping or late
    LOST = "lost"  # its worker gave no sign of life until the lease ran out


class RecordOutcome(enum.StrEnum):
    """What became of one ID."""

    FETCHED = "fetched"  # the upstream returned it
    MISSING = "missing"  # the upstream answered and does not have it
    ERROR = "error"  # the upstream refused this ID for good, or it cannot be asked for

    @property
    def needs_a_call(self) -> bool:
        """True when only the upstream can say so."""
        return self is not RecordOutcome.ERROR


class Role(enum.StrEnum):
    """What the holder of an API key may do; each may do what those before it may."""

    READER = "reader"  # look at the ingestions of its owner, and at the sources
    SUBMITTER = "submitter"  # hand over IDs, cancel and retry its owner's ingestions
    OPERATOR = "operator"  # see and touch everybody's, pause and resume sources

    def includes(self, other: Role) -> bool:
        """True when this role may do all that the other may."""
        return list(Role).index(self) >= list(Role).index(other)
