"""A file that is made beside its place, and is there under its name when it is whole, or never."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ingest_app.errors import MaintenanceRefused
from ingest_app.maintenance.sole import alone_at

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite may have beside a database, by the end of its name."""

_LONGEST_NAME = 200
_HAS_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class Partial:
    """A file under a name of its own, in the folder in which it is to be."""

    path: Path
    place: Path

    def put_in_place(self, *, may_replace: bool) -> None:
        """Give it its name, at once and for good; the file must be closed.

        Raises MaintenanceRefused when there is one of that name that it may not replace.
        """
        sync(self.path)
        if may_replace:
            self.path.replace(self.place)
        else:
            _name_anew(self.path, self.place)
        sync(self.place.parent)


@contextmanager
def beside(place: Path) -> Iterator[Partial]:
    """A new, empty file that only its owner may read; gone at the end unless it was put in place.

    One that was left behind by a process that died is used again. Raises MaintenanceRefused while
    another process makes the same, and OSError.
    """
    path = place.with_name(f".{place.name[:_LONGEST_NAME]}.partial")
    _make(path)
    with alone_at(path) as is_alone:
        if not is_alone:
            raise MaintenanceRefused(f"Another process is making {place} now.")
        try:
            _begin_anew(path)
            yield Partial(path, place)
        finally:
            _remove(path)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(path: Path) -> None:
    # In a folder that others may write in, neither follow a link of theirs nor fill a file of
    # theirs, which they could read.
    flags = os.O_CREAT | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        is_ours = not hasattr(os, "geteuid") or os.fstat(descriptor).st_uid == os.geteuid()
    finally:
        os.close(descriptor)
    if not is_ours:
        raise MaintenanceRefused(f"{path} is another user's.")


def _begin_anew(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, 0)
    for end in SIDE_FILES:
        path.with_name(path.name + end).unlink(missing_ok=True)


def _remove(path: Path) -> None:
    for end in ("", *SIDE_FILES):
        with suppress(OSError):
            path.with_name(path.name + end).unlink(missing_ok=True)


def _name_anew(path: Path, place: Path) -> None:
    # A link, unlike a rename, does not replace a file that has come meanwhile.
    try:
        os.link(path, place)
    except FileExistsError:
        raise already_there(place) from None
    except OSError as error:
        if error.errno not in _HAS_NO_LINKS:
            raise
        path.rename(place)


def already_there(place: Path) -> MaintenanceRefused:
    """The refusal to replace a file."""
    return MaintenanceRefused(f"{place} exists already; --force replaces it.")
