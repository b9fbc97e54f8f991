"""Logs as events: a name, then facts as key=value, so that they can be searched and counted."""

from __future__ import annotations

import logging


def emit(logger: logging.Logger, event: str, *, level: int = logging.INFO, **facts: object) -> None:
    """Log `event` with its facts; they are on the record too, as its `facts`."""
    if logger.isEnabledFor(level):
        words = " ".join(f"{name}={value}" for name, value in facts.items())
        logger.log(level, "%s %s", event, words, extra={"event": event, "facts": facts})
