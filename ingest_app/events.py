"""Logs as events: a name, then facts as key=value, so that they can be searched and counted."""

from __future__ import annotations

import logging
import os
from contextvars import ContextVar

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The request that this thread is answering; None outside of requests."""


def new_request_id() -> str:
    """An id for a request that brings none of its own."""
    return os.urandom(8).hex()


def emit(logger: logging.Logger, event: str, *, level: int = logging.INFO, **facts: object) -> None:
    """Log `event` with its facts; they are on the record too, as its `facts`.

    During a request its id stands at the end of the line.
    """
    if logger.isEnabledFor(level):
        request_id = REQUEST_ID.get()
        told = facts if request_id is None else {**facts, "request_id": request_id}
        words = " ".join(f"{name}={one_line(value)}" for name, value in told.items())
        logger.log(level, "%s %s", event, words, extra={"event": event, "facts": facts})


def one_line(value: object) -> str:
    """A value as text in which nothing can look like a line of its own, as a client's words may."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
