"""Logs as events: a name, then facts as key=value, so that they can be searched and counted."""

from __future__ import annotations

import logging


def emit(logger: logging.Logger, event: str, *, level: int = logging.INFO, **facts: object) -> None:
    """Log `event` with its facts; they are on the record too, as its `facts`."""
    if logger.isEnabledFor(level):
        words = " ".join(f"{name}={_one_line(value)}" for name, value in facts.items())
        logger.log(level, "%s %s", event, words, extra={"event": event, "facts": facts})


def _one_line(value: object) -> str:
    # A client's words must not look like a line of their own.
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
