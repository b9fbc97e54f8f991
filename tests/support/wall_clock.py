"""A wall clock for the service that the test sets while it runs; no other clock is touched.

Not libfaketime 0.9.10: beneath it Python's `time.sleep` fails (clock_nanosleep until an absolute
time gives EINVAL when the monotonic clock is left alone).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from tests.support.preloading import build_library, preloaded


class WallClock:
    """The step between the service's time of day and ours, in a file that it maps."""

    def __init__(self, folder: Path) -> None:
        """Build what is needed in `folder`; the clock is right at first."""
        self._library = build_library("wall_clock", folder)
        self._step = folder / "step"
        self.set(0)

    def set(self, step_seconds: int) -> None:
        """Let the wall clock be wrong by so much from this instant on."""
        with self._step.open("r+b" if self._step.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("=q", step_seconds))

    def over(self, command: Sequence[str]) -> list[str]:
        """The command with this clock on its wall."""
        return preloaded(command, self._library, WALL_CLOCK_STEP=self._step)
