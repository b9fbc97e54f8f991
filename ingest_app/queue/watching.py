"""Tell a worker that is silent from a stall of everybody. Pure: it is told when there was a look.

A lease is judged by its age alone, and while the write lock is held by a stranger, the disk is full
or the machine is suspended, nobody can renew one. Whoever goes on first must not take the batches
of the others.
"""

from __future__ import annotations

from ingest_app.clock import Moment

LOOKS_A_LEASE = 6
"""How often in a lease a worker renews its own and looks at those of the others."""

_LONGEST_GAP_SHARE = 2 / LOOKS_A_LEASE
_NEEDED_SHARE = 3 / LOOKS_A_LEASE


class Watch:
    """The looks of one worker at the leases of one source, each made while it held the write lock.

    It may judge after half a lease in which it never missed two looks on end: then its own renewals
    went through, and so could those of a worker that lives.
    """

    def __init__(self, lease_seconds: float) -> None:
        """No look was made yet."""
        self._lease_seconds = lease_seconds
        self._since: Moment | None = None
        self._last: Moment | None = None

    def look(self, now: Moment) -> bool:
        """Note a look, and tell whether leases that are over may be taken back."""
        if self._since is None or self._missed_looks(now):
            self._since = now
        self._last = now
        return now.seconds_since(self._since) >= self._lease_seconds * _NEEDED_SHARE

    def _missed_looks(self, now: Moment) -> bool:
        gap = now.seconds_since(self._last) if self._last else 0.0
        # Less than none: a wall clock that was set back, where there is no other.
        return not 0 <= gap <= self._lease_seconds * _LONGEST_GAP_SHARE
