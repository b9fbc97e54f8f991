"""When the next slot of a source opens. Pure: nothing here reads a clock or a table.

A claim is made at some instant, and its call starts a little later. Claims are therefore an
interval and a margin apart, and a call may start at most that margin after its claim: so two calls
are never less than the interval apart. Once a call has been answered it is known to have left, and
the next claim may be an interval after that.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest_app.clock import Moment

_MARGIN_SHARE = 0.005
_MARGIN_LEAST_SECONDS = 0.003
_MARGIN_MOST_SECONDS = 0.025
_ROUNDING_SECONDS = 0.001


@dataclass(frozen=True)
class Slot:
    """The next slot as the last claim recorded it.

    opens: when it opens; None for a source that was never used, whose slot is open.
    interval_seconds, margin_seconds: what it was computed with.
    """

    opens: Moment | None
    interval_seconds: float
    margin_seconds: float


UNUSED = Slot(opens=None, interval_seconds=0.0, margin_seconds=0.0)


def margin_seconds(interval_seconds: float) -> float:
    """How long after its claim a call may start without asking for its slot again.

    Long enough for a commit and a thread's start, and within 1% of the interval from 0.3 s up. It
    is paid for only by calls that have not ended when the next slot opens.
    """
    if not interval_seconds:
        return 0.0
    share = interval_seconds * _MARGIN_SHARE
    return min(max(share, _MARGIN_LEAST_SECONDS), _MARGIN_MOST_SECONDS)


def next_slot(now: Moment, interval_seconds: float, margin: float) -> Slot:
    """The slot after a claim at `now` whose call starts within `margin` seconds."""
    return Slot(now.later(interval_seconds + margin), interval_seconds, margin)


def slot_after_unknown(now: Moment, interval_seconds: float) -> Slot:
    """The slot of a source whose last call is not known, but was not later than now.

    interval_seconds: 0 when none was in force; whichever is later, all of it is waited for.
    """
    if interval_seconds:
        return next_slot(now, interval_seconds, margin_seconds(interval_seconds))
    # By its margin it is told from that of a source without a limit, which says nothing.
    return next_slot(now, 0.0, _MARGIN_MOST_SECONDS)


def opening(slot: Slot, interval_seconds: float) -> Moment | None:
    """When the slot opens under the interval in force; it may have changed since."""
    if slot.opens is None:
        return None
    # The margin in it stays: the call before may have started as late as that.
    return slot.opens.later(interval_seconds - slot.interval_seconds)


def wait_seconds(slot: Slot, interval_seconds: float, now: Moment) -> float:
    """Seconds until the slot opens; 0 when it is open."""
    opens = opening(slot, interval_seconds)
    return 0.0 if opens is None else max(0.0, opens.seconds_since(now))


def says_nothing(slot: Slot, interval_seconds: float, now: Moment) -> bool:
    """True when the slot does not tell how long ago the last call may have begun.

    So it is after a time without a limit, when calls had no margin to keep, and when the slot is so
    far away that only a wall clock set back explains it. (The boot clock cannot be set.)
    """
    had_no_limit = slot.opens is not None and not (slot.interval_seconds or slot.margin_seconds)
    if had_no_limit and interval_seconds > 0:
        return True
    return _clock_was_set_back(slot, interval_seconds, now)


def _clock_was_set_back(slot: Slot, interval_seconds: float, now: Moment) -> bool:
    opens = opening(slot, interval_seconds)
    if opens is None or opens.boot_seconds_since(now) is not None:
        return False
    farthest_seconds = interval_seconds + slot.margin_seconds + _ROUNDING_SECONDS
    return opens.seconds_since(now) > farthest_seconds


def anew(slot: Slot, interval_seconds: float, now: Moment) -> Slot:
    """The slot to go on with when the recorded one says nothing.

    When the last call began is not known, but it was not later than its margin from now.
    """
    margin = max(slot.margin_seconds, margin_seconds(interval_seconds))
    return next_slot(now, interval_seconds, margin)
