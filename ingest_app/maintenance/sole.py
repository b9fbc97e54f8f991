"""Work that one process at a time does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone_at(path: Path) -> Iterator[bool]:
    """False while another process is at this; nothing is left behind when a process dies.

    path: a file or folder that stands for the work and exists. Not a database: to close it here
        would end SQLite's own locks. Where the system has no such locks (Windows), always True.
    """
    try:
        import fcntl  # noqa: PLC0415 (Unix alone has it)
    except ImportError:
        yield True
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
