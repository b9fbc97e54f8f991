"""A finding: something in the database that speaks against a promise."""

from __future__ import annotations

from dataclasses import dataclass

DAMAGED = "The database file is damaged."
ORPHANED = "A row refers to a missing one."
ENDED_OTHERWISE = "Whether an ingestion has ended is noted otherwise than its batches say."
"""Unlike the others, a restore mends it."""


@dataclass(frozen=True)
class Finding:
    """One violation.

    promise: which of the promises it breaks, `P1` to `P9`, or `file` for a damaged file.
    what: the violation in a sentence, the same for all of its kind.
    where: the rows it was found in, for example `dispatch 17`.
    """

    promise: str
    what: str
    where: str
