"""What the environment says of gunicorn: where it listens, and with how many processes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ingest_app.errors import SettingsError

Address = str | tuple[str, int] | int
"""As gunicorn has it: the path of a Unix socket, host and port, or an open file's number."""

_LAST_PORT = 65_535
_COUNT = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)


def bind() -> str:
    """Where gunicorn listens, as it is written; several with commas between (SettingsError)."""
    addresses()
    return _bind()


def addresses() -> Sequence[Address]:
    """The same, read as gunicorn reads it."""
    from gunicorn.util import parse_address  # noqa: PLC0415 (what starts gunicorn does without)

    try:
        read = [parse_address(each.strip()) for each in _bind().split(",") if each]
    except RuntimeError as error:
        raise SettingsError(f"INGEST_BIND: {error}") from error
    for address in read:
        if isinstance(address, tuple) and not 0 <= address[1] <= _LAST_PORT:
            raise SettingsError(f"INGEST_BIND: there is no port {address[1]}.")
    return read


def worker_count() -> int:
    """How many worker processes there are to be (SettingsError)."""
    given = os.environ.get("WEB_CONCURRENCY", "2")
    if not _COUNT.fullmatch(given):
        raise SettingsError(
            f"WEB_CONCURRENCY must be a whole number from 1 to 9999, not {given!r}."
        )
    return int(given)


def _bind() -> str:
    return os.environ.get("INGEST_BIND") or "127.0.0.1:8000"
