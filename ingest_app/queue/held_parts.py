"""What is read part by part in one transaction, for someone who may be slow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

from ingest_app.errors import SnapshotExpired


class HeldParts(Iterator[str]):
    """Parts from a transaction that stays open between them.

    It ends with the last part or an error, when `close` is called, and by itself after
    `most_seconds`, whatever the reader does meanwhile; who then asks for a part gets
    SnapshotExpired.
    """

    def __init__(self, parts: Iterator[str], transaction: ExitStack, most_seconds: float) -> None:
        """Take over the transaction in which `parts` reads."""
        self._parts = parts
        self._transaction = transaction
        self._most_seconds = most_seconds
        self._has_expired = False
        self._turn = threading.Lock()
        # A thread, since the reader's own may be stuck in a socket.
        self._timer = threading.Timer(most_seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def __next__(self) -> str:
        """The next part (SnapshotExpired)."""
        with self._turn:
            if self._has_expired:
                raise SnapshotExpired(self._most_seconds)
            try:
                return next(self._parts)
            except BaseException:
                self._end()
                raise

    def close(self) -> None:
        """End the transaction; doing so twice is as once."""
        with self._turn:
            self._end()

    def _expire(self) -> None:
        with self._turn:
            self._has_expired = True
            self._end()

    def _end(self) -> None:
        self._timer.cancel()
        self._transaction.close()
