"""Counts of the last minute that all workers of this machine share, in a file of their own.

It lies beside the database, so that counting never waits for the database's write lock, nor the
queue for it. It may be deleted at any time (all files that begin with its name), and begins anew.
What cannot be counted, since the file is locked or damaged or its disk full, is let through. One
that is damaged is made anew, but what does not bear our mark is never changed nor removed.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ingest_app.access.counter_file import (
    CounterFile,
    ForeignFile,
    is_busy,
    is_damage,
    remove_if_ours,
)
from ingest_app.access.windows import Decision, look, take
from ingest_app.clock import Clock
from ingest_app.events import emit

_PATIENCE_SECONDS = 0.01
"""How long a request waits to be counted; to count takes less than a hundredth of it."""

_TURNS = 10
"""How many times as long for the other threads of its process; they seldom take so much."""

_COMPLAINT_SECONDS = 60.0

_log = logging.getLogger(__name__)


def path_beside(database_path: Path) -> Path:
    """Where the counts of a service with this database are."""
    return database_path.with_name(f"{database_path.stem}-limits.db")


class Counters:
    """How often something happened in the last minute, by the name of its bucket."""

    def __init__(
        self, database_path: Path, clock: Clock, *, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        """Open nothing yet: each process has a connection of its own, from its first count on.

        patience_seconds: how long one count may wait for others.
        """
        self.path = path_beside(database_path)
        self._database_path = database_path
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._turn = threading.Lock()
        self._file: CounterFile | None = None
        self._quiet_until = 0.0

    def take(self, bucket: str, limit: int) -> Decision | None:
        """Count one more, unless the limit is reached; None when that cannot be told."""
        return self._ask(lambda file, deadline: self._take(file, deadline, bucket, limit))

    def look(self, bucket: str, limit: int) -> Decision | None:
        """Whether one more would be allowed, without counting; None when that cannot be told."""
        if not os.path.exists(self.path):  # Path's may raise
            return look((), limit, self._now_seconds())
        return self._ask(lambda file, _: look(file.spent(bucket) or (), limit, self._now_seconds()))

    def close(self) -> None:
        """Close this process's connection; the next count opens another."""
        with self._turn:
            self._let_go()

    def _take(self, file: CounterFile, deadline: float, bucket: str, limit: int) -> Decision:
        # What is full is refused without the lock: who is refused most holds up nobody.
        decision = look(file.spent(bucket) or (), limit, self._now_seconds())
        if not decision.is_allowed:
            return decision
        with file.writing(deadline):
            before = file.spent(bucket)
            # Read under the lock, or the second of two might count at the earlier time.
            now_seconds = self._now_seconds()
            decision, spent = take(before or (), limit, now_seconds)
            if decision.is_allowed:
                if before is None:
                    file.make_room(int(now_seconds))
                file.keep(bucket, spent)
        return decision

    def _now_seconds(self) -> float:
        return self._clock.read().at.timestamp()

    def _ask(self, question: Callable[[CounterFile, float], Decision]) -> Decision | None:
        deadline = time.monotonic() + self._patience_seconds
        if not self._turn.acquire(timeout=_TURNS * self._patience_seconds):
            self._complain("other threads of this process take too long")
            return None
        try:
            return question(self._opened(deadline), deadline)
        except (sqlite3.Error, OSError, ForeignFile) as error:
            self._recover(error)
            self._complain(error)
            return None
        finally:
            self._turn.release()

    def _opened(self, deadline: float) -> CounterFile:
        if self._file is not None and not self._file.is_current():
            self._let_go()
        if self._file is None:
            self._file = CounterFile(self.path, like=self._database_path, deadline=deadline)
        return self._file

    def _recover(self, error: Exception) -> None:
        if is_busy(error):
            return
        # Another process may have done it already.
        is_there = self._file is None or self._file.is_current()
        self._let_go()
        if is_there and is_damage(error):
            with suppress(OSError):
                remove_if_ours(self.path)

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _complain(self, reason: object) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _COMPLAINT_SECONDS
            emit(_log, "limits_unavailable", level=logging.ERROR, path=self.path, reason=reason)
