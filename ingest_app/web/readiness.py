"""What was found out about the database a moment ago, so that asking often costs it nothing.

`/readyz` needs no key and has no limit, and to find out takes the write lock and a commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

from flask import Flask, current_app
from werkzeug.exceptions import HTTPException

from ingest_app.clock import Clock, Moment
from ingest_app.errors import IngestError

KEPT_SECONDS = 1.0
"""For how long it is believed that work can be stored."""

_READINESS = "ingest_readiness"


class Readiness:
    """The last result of a check in this process, whose requests make it one at a time."""

    def __init__(self, check: Callable[[], None]) -> None:
        """Check nothing yet; `check` raises IngestError or HTTPException where it fails."""
        self._check = check
        self._turn = threading.Lock()
        self._round = 0
        self._succeeded_at: Moment | None = None
        self._failure: IngestError | HTTPException | None = None

    def confirm(self, clock: Clock) -> None:
        """Return where the check has succeeded within KEPT_SECONDS or does now; else raise as it.

        That it failed holds for those who waited for it meanwhile, and for nobody who asks later:
        what has been mended is seen at once, and those who ask while the lock is held wait for it
        together rather than one after another.
        """
        asked_in = self._round
        with self._turn:
            if self._round == asked_in and not self._is_fresh(clock):
                self._find_out(clock)
            if self._failure is not None:
                raise self._failure

    def _is_fresh(self, clock: Clock) -> bool:
        if self._succeeded_at is None:
            return False
        return 0 <= clock.read().seconds_since(self._succeeded_at) < KEPT_SECONDS

    def _find_out(self, clock: Clock) -> None:
        self._succeeded_at, self._failure = None, None
        began = clock.read()
        try:
            self._check()
            self._succeeded_at = began
        except (IngestError, HTTPException) as error:
            self._failure = error
        self._round += 1


def register_readiness(app: Flask, check: Callable[[], None]) -> None:
    """Let the requests of an application share what they find out."""
    app.extensions[_READINESS] = Readiness(check)


def current_readiness() -> Readiness:
    """That of the running application."""
    return cast(Readiness, current_app.extensions[_READINESS])
