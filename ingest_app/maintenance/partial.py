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
        ours = path.stat()
        try:
            _begin_anew(path)
            yield Partial(path, place)
        finally:
            _remove(path, ours)


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
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise MaintenanceRefused(f"{path} is another user's.")
    if found.st_nlink > 1:
        # Its process died when it had put it in place: it is whole, and not to be written over.
        path.unlink()
        _make(path)


def _begin_anew(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, 0)
    for end in SIDE_FILES:
        path.with_name(path.name + end).unlink(missing_ok=True)


def _remove(path: Path, ours: os.stat_result) -> None:
    with suppress(OSError):
        # Once it is in place, one of this name is another process's, which makes the next.
        if os.path.samestat(path.stat(), ours):
            for end in (*SIDE_FILES, ""):
                path.with_name(path.name + end).unlink(missing_ok=True)


def _name_anew(path: Path, place: Path) -> None:
    # A link, unlike a rename, does not replace a file that has come meanwhile.
    try:
        name_too(path, place)
    except FileExistsError:
        raise already_there(place) from None


def name_too(path: Path, name: Path) -> None:
    """Give a file a second name; where the file system has no links, in place of the first.

    Raises FileExistsError, and OSError.
    """
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in _HAS_NO_LINKS:
            raise
        path.rename(name)


def already_there(place: Path) -> MaintenanceRefused:
    """The refusal to replace a file."""
    return MaintenanceRefused(f"{place} exists already; --force replaces it.")
