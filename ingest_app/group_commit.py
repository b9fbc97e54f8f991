"""Group commit: works that come together share one transaction, and its wait for the disk."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ingest_app.prepared import run_plainly

Result = TypeVar("Result")


class GroupCommit:
    """Whoever comes while a transaction runs waits, and the first of them does all the works."""

    def __init__(self, write: Callable[[], AbstractContextManager[Connection]]) -> None:
        """`write` begins a transaction that holds the write lock."""
        self._write = write
        self._waiting: deque[_Work[Any]] = deque()
        self._leading = threading.Lock()

    def run(self, do: Callable[[Connection], Result]) -> Result:
        """What `do` returns, once what it did is on disk.

        When it raises, what it did is undone, but not what the others did. A fault of the database
        is raised for all that share the transaction, and nothing of them is kept.
        """
        work = _Work(do)
        self._waiting.append(work)
        with self._leading:
            if not work.is_over:
                self._lead()
        return work.result()

    def _lead(self) -> None:
        works: list[_Work[Any]] = []
        try:
            with self._write() as connection:
                # Only now: the longer the wait for the lock, the more there are to share it.
                works = self._take()
                for work in works:
                    work.run(connection)
        except BaseException as error:
            # All that wait by now, or each would wait for the same lock in turn.
            works = works or self._take()
            for work in works:
                work.error = error
        for work in works:
            work.is_over = True

    def _take(self) -> list[_Work[Any]]:
        return [self._waiting.popleft() for _ in range(len(self._waiting))]


class _Work(Generic[Result]):
    """What one thread wants done, and what came of it."""

    def __init__(self, do: Callable[[Connection], Result]) -> None:
        self.is_over = False
        self.error: BaseException | None = None
        self._do = do
        self._result: Result

    def run(self, connection: Connection) -> None:
        run_plainly(connection, "SAVEPOINT work")
        try:
            self._result = self._do(connection)
        except DBAPIError:  # it may have ended the transaction
            raise
        except Exception as error:
            self.error = error
            run_plainly(connection, "ROLLBACK TO work")
        run_plainly(connection, "RELEASE work")

    def result(self) -> Result:
        if self.error is not None:
            raise self.error
        return self._result
