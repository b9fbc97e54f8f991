"""Work that one process at a time does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone_at(path: Path) -> Iterator[bool]:
    """False while another process is at this, or has just put something else in its place.

    Nothing is left behind when a process dies.

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
            is_alone = os.path.samestat(os.fstat(descriptor), path.stat())
        except (BlockingIOError, FileNotFoundError):
            is_alone = False
        yield is_alone
    finally:
        os.close(descriptor)
