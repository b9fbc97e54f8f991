"""A command in a terminal of its own, as a person has it, from the standard library's pty."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from tests.support.service import ROOM_SECONDS

CTRL_C = b"\x03"


class Terminal:
    """A terminal with a process in it; use `terminal`, which takes it down."""

    def __init__(self, process_id: int, descriptor: int) -> None:
        self.process_id = process_id
        self._descriptor = descriptor
        self._status: int | None = None
        self.shown = ""

    def read_until(self, is_there: Callable[[str], bool]) -> str:
        """All that was written so far, as soon as it is as wanted."""
        deadline = time.monotonic() + ROOM_SECONDS
        while not is_there(self.shown):
            assert time.monotonic() < deadline, self.shown
            if not self._read():
                break
        assert is_there(self.shown), self.shown
        return self.shown

    def press(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._descriptor, keys)

    def wait_for_exit(self) -> int:
        """Read to the end, and return the exit status."""
        deadline = time.monotonic() + ROOM_SECONDS
        while self._read():
            assert time.monotonic() < deadline, self.shown
        _, status = os.waitpid(self.process_id, 0)
        self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def close(self) -> None:
        """Kill what is left."""
        if self._status is None:
            with suppress(ProcessLookupError):
                os.kill(self.process_id, signal.SIGKILL)
            os.waitpid(self.process_id, 0)
        os.close(self._descriptor)

    def _read(self) -> bool:
        """Take what is there, after a moment at most; False at the end."""
        if not select.select([self._descriptor], [], [], 0.1)[0]:
            return True
        try:
            read = os.read(self._descriptor, 65_536)
        except OSError:  # how Linux says that the other side has closed it
            read = b""
        self.shown += read.decode(errors="replace")
        return bool(read)


@contextmanager
def terminal(
    command: Sequence[str], environ: Mapping[str, str], *, columns: int = 100
) -> Iterator[Terminal]:
    """The command in a terminal so wide."""
    size = struct.pack("HHHH", 24, columns, 0, 0)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
    process_id = os.posix_spawn(
        "/usr/bin/env",
        # setsid makes it the terminal's own process, which Ctrl-C reaches.
        ["env", "--default-signal=INT", "setsid", "--ctty", *command],
        {**environ, "TERM": "xterm-256color"},
        file_actions=[(os.POSIX_SPAWN_DUP2, slave, number) for number in (0, 1, 2)],
    )
    os.close(slave)
    found = Terminal(process_id, master)
    try:
        yield found
    finally:
        found.close()
