"""The service with one of its mechanisms switched off, to see that the checkers notice."""

from __future__ import annotations

from collections.abc import Sequence

SWITCHED_OFF = "SWITCHED_OFF"
"""The environment's name for the mechanism: slot, token, deferral, recovery, heartbeat or watch."""


def without(mechanism: str, command: Sequence[str]) -> list[str]:
    """The gunicorn command for a service that lacks this mechanism."""
    app = "tests.support.switched_off_app:app"
    return ["env", f"{SWITCHED_OFF}={mechanism}", *command[:-1], app]
