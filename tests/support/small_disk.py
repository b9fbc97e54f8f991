"""A disk of a few megabytes that can be filled, emptied and made read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.lacking import lacking, need_tool
from tests.support.service import until

_CHUNKS = (65_536, 4_096, 1)


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        """Describe what is mounted at `folder`."""
        self.folder = folder
        self._size_bytes = size_bytes
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no room at all."""
        with self._filler.open("ab", buffering=0) as filler, suppress(OSError):
            for chunk in _CHUNKS:
                _write_until_full(filler.fileno(), chunk, self._size_bytes)
        assert os.statvfs(self.folder).f_bavail == 0

    def empty(self) -> None:
        """Give back the room that `fill` took."""
        self._filler.unlink()

    def make_read_only(self) -> None:
        """Refuse all writes from now on; no file may be open for writing."""
        _mount("-o", "remount,ro", str(self.folder))


@contextmanager
def small_disk(folder: Path, size_bytes: int = 8 * 1024 * 1024) -> Iterator[SmallDisk]:
    """Mount one at `folder`, which is made; unmounted at the end whatever happened."""
    need_tool("mount", "mount")
    if os.geteuid() != 0:
        lacking("root, to mount a small disk")
    folder.mkdir(parents=True)
    try:
        _mount("-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder))
    except subprocess.CalledProcessError as error:
        lacking(f"the right to mount a small disk: {error.stderr.strip()}")
    try:
        yield SmallDisk(folder, size_bytes)
    finally:
        until(lambda: _unmounted(folder), f"{folder} is unmounted")


def _write_until_full(file: int, chunk: int, size_bytes: int) -> None:
    with suppress(OSError):
        for _ in range(size_bytes // chunk + 1):
            os.write(file, bytes(chunk))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)


def _unmounted(folder: Path) -> bool:
    return subprocess.run(["umount", str(folder)], check=False, capture_output=True).returncode == 0
