"""A clock that stands until the test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ingest_app.clock import Moment

START = Moment(datetime(2026, 3, 1, 12, 0, tzinfo=UTC), 1000.0, "first-boot")
HOUR = 3_600.0
DAY = 24 * HOUR


class FakeClock:
    """Wall clock, boot clock, and the time that has really passed, which only the test sees."""

    def __init__(self, now: Moment = START) -> None:
        self.now = now
        self.passed_seconds = 0.0
        self._boot_count = 1

    def read(self) -> Moment:
        return self.now

    def move(self, seconds: float) -> Moment:
        """Let time pass."""
        self.now = self.now.later(seconds)
        self.passed_seconds += seconds
        return self.now

    def set_wall(self, step_seconds: float) -> Moment:
        """Set the wall clock forward or back; no time passes."""
        at = self.now.at + timedelta(seconds=step_seconds)
        self.now = Moment(at, self.now.boot_seconds, self.now.boot_id)
        return self.now

    def reboot(self, wall_step_seconds: float = 0.0) -> Moment:
        """Start the machine anew, which takes no time, with its wall clock set by so much."""
        self._boot_count += 1
        at = self.now.at + timedelta(seconds=wall_step_seconds)
        self.now = Moment(at, 10.0, f"boot-{self._boot_count}")
        return self.now


def without_boot_clock() -> FakeClock:
    """The clock of a system that has only wall time."""
    return FakeClock(Moment(START.at))
