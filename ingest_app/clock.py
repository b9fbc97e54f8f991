"""What time it is: on the wall for people and other hosts, and since boot, which no one can set."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/ns/time")


@dataclass(frozen=True)
class Moment:
    """One reading of both clocks.

    at: aware UTC time of the wall clock.
    boot_seconds: seconds since this machine started, suspended time included; None where the
        system has no such clock.
    boot_id: names the boot that `boot_seconds` counts from; two moments are comparable by it
        only when they share it. None where the system does not tell.
    """

    at: datetime
    boot_seconds: float | None = None
    boot_id: str | None = None

    def later(self, seconds: float) -> Moment:
        """The moment `seconds` after this one."""
        boot = None if self.boot_seconds is None else self.boot_seconds + seconds
        return Moment(self.at + timedelta(seconds=seconds), boot, self.boot_id)

    def seconds_since(self, earlier: Moment) -> float:
        """Seconds from `earlier` to this moment, by the boot clock if both have it."""
        boot_seconds = self.boot_seconds_since(earlier)
        return (self.at - earlier.at).total_seconds() if boot_seconds is None else boot_seconds

    def boot_seconds_since(self, earlier: Moment) -> float | None:
        """Seconds since `earlier` by the boot clock; None when the two do not share a boot."""
        if self.boot_seconds is None or earlier.boot_seconds is None:
            return None
        if self.boot_id is None or self.boot_id != earlier.boot_id:
            return None
        return self.boot_seconds - earlier.boot_seconds


def instant(at: datetime) -> str:
    """An aware UTC time as text, as in RFC 3339: with a Z and six digits after the second."""
    return f"{at.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


class Clock(Protocol):
    """Where a verb of the queue gets its time from; tests pass one that they move by hand."""

    def read(self) -> Moment:
        """The present moment."""


class SystemClock:
    """The machine's clocks: wall time, and CLOCK_BOOTTIME with the kernel's boot id (Linux)."""

    def read(self) -> Moment:
        """The present moment; without the boot clock on systems other than Linux."""
        boot_id = _boot_id()
        boot_seconds = time.clock_gettime(time.CLOCK_BOOTTIME) if boot_id else None
        return Moment(datetime.now(UTC), boot_seconds, boot_id)


@functools.cache
def _boot_id() -> str | None:
    # A container may have a boot clock of its own (time_namespaces(7)).
    try:
        return f"{_BOOT_ID_FILE.read_text().strip()}/{_TIME_NAMESPACE.readlink()}"
    except OSError:
        return None
