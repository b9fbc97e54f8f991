"""What one running application works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.settings import Settings

_KEY = "ingest"


@dataclass(frozen=True)
class Runtime:
    """Settings, database and clock of one application."""

    settings: Settings
    database: Database
    clock: Clock

    def attach(self, app: Flask) -> None:
        """Make this the runtime of `app`."""
        app.extensions[_KEY] = self


def current_runtime() -> Runtime:
    """The running application's; needs an application context (RuntimeError without)."""
    return runtime_of(current_app)


def runtime_of(app: Flask) -> Runtime:
    """The runtime that was attached to `app`."""
    return cast(Runtime, app.extensions[_KEY])
