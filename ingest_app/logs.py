"""How records of the log are written: plain, or as JSON with one object a line."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ingest_app.events import REQUEST_ID, one_line
from ingest_app.worker import worker_name

OUR_LOGGER = "ingest_app"


class JsonFormatter(logging.Formatter):
    """Writes each record as an object, also those of other libraries.

    `time` (UTC), `level` and `logger` are always there, then `event` and its `facts` or else
    `message`, then `request_id` during a request, `exception` where there is one, and `worker`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, in ASCII."""
        members: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **_said(record),
        }
        request_id = REQUEST_ID.get()
        if request_id is not None:
            members["request_id"] = request_id
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps({**members, "worker": _worker(os.getpid())}, default=str)


class OneLine(logging.Filter):
    """Puts a message on one line: Flask tells of a path that a client has chosen."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; True, since it is to be written."""
        record.msg, record.args = one_line(record.getMessage()), ()
        return True


def write_json(handlers: Iterable[logging.Handler]) -> None:
    """Let these handlers write JSON from now on."""
    for handler in handlers:
        handler.setFormatter(JsonFormatter())


def log_json_to_stderr() -> None:
    """Write all logs of this process as JSON, unless somebody has set up its logging already."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    write_json([handler])
    root.addHandler(handler)
    logging.getLogger(OUR_LOGGER).setLevel(logging.INFO)


def _said(record: logging.LogRecord) -> dict[str, Any]:
    event = getattr(record, "event", None)
    if event is None:
        return {"message": record.getMessage()}
    return {"event": event, "facts": getattr(record, "facts", {})}


@cache
def _worker(_pid: int) -> str:
    # By the process, since a fork makes another one of it.
    return worker_name()
