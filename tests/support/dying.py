"""A service one of whose workers kills itself at a chosen boundary of a commit, once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.support.killing import Kill

DIE_WHEN = "DIE_WHEN"
"""The environment's name for `before` or `after`."""

DIE_IN = "DIE_IN"
"""The environment's name for the verb of the queue in whose commit to die."""

DIED_FILE = "DIED_FILE"
"""The environment's name for the file that says that it has happened, and to which process."""


DIES_PACKED = "DIES_PACKED"
"""The environment's name for how many batches a pack has, so that small ingestions have several."""


def dying(
    command: Sequence[str], when: str, verb: str, died: Path, *, pack_size: int | None = None
) -> list[str]:
    """The gunicorn command for a service that dies `when` (before, after) `verb` is committed."""
    points = {DIE_WHEN: when, DIE_IN: verb, DIED_FILE: str(died)}
    if pack_size is not None:
        points[DIES_PACKED] = str(pack_size)
    names = [f"{name}={value}" for name, value in points.items()]
    return ["env", *names, *command[:-1], "tests.support.dying_app:app"]


def death_of(died: Path) -> Kill | None:
    """The kill that the file tells of; None when there is none yet."""
    words = died.read_text().split() if died.exists() else []
    if not words:
        return None
    at = datetime.fromtimestamp(died.stat().st_mtime, UTC).replace(tzinfo=None)
    return Kill(at, float(words[1]), frozenset({int(words[0])}))
