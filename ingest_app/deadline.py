"""By when a stop must be over; an impatient person can bring it forward."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_LOOK_SECONDS = 0.2
"""How soon a deadline that was brought forward is noticed."""


class Deadline:
    """An instant on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        """So many seconds from now."""
        self._at = time.monotonic() + seconds

    def is_over(self) -> bool:
        """True from that instant on."""
        return time.monotonic() >= self._at

    def bring_forward(self) -> None:
        """Let it be over now; may be called by a signal handler."""
        self._at = time.monotonic()

    def wait_for(self, condition: threading.Condition, is_met: Callable[[], bool]) -> bool:
        """Wait a moment, but not beyond the deadline, and tell whether `is_met` holds."""
        left_seconds = max(0.0, self._at - time.monotonic())
        with condition:
            return condition.wait_for(is_met, min(left_seconds, _LOOK_SECONDS))
