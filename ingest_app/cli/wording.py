"""Times, durations and counts in words for people."""

from __future__ import annotations

from datetime import datetime, tzinfo

from ingest_app.clock import instant

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def duration(seconds: float) -> str:
    """About how long: the two largest units, or two digits of less than a second."""
    if round(seconds, 1) < 1:
        return f"{round(seconds, 3):.2g} s"  # a pace of 0.05 s is not one of 0.1 s
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return _two(whole, (_MINUTE, "min"), (1, "s"))
    if whole < _DAY:
        return _two(whole, (_HOUR, "h"), (_MINUTE, "min"))
    return _two(whole, (_DAY, "d"), (_HOUR, "h"))


def moment(at: str | datetime | None) -> str | None:
    """A time of the service in this machine's zone, to the second; None stays None."""
    if at is None:
        return None
    return _told(instant(at) if isinstance(at, datetime) else at, None, "%Y-%m-%d %H:%M:%S %Z")


def brief_moment(at: str, now: datetime) -> str:
    """The same without the date when it is today, and else without the seconds."""
    is_today = _told(at, now.tzinfo, "%Y-%m-%d") == f"{now:%Y-%m-%d}"
    return _told(at, now.tzinfo, "%H:%M:%S" if is_today else "%a %d %b %H:%M")


def count(number: int, noun: str) -> str:
    """A number and its noun, in the plural where it has to be."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def size(byte_count: int) -> str:
    """A number of bytes, in decimal units."""
    if byte_count < 1_000:
        return count(byte_count, "byte")
    if byte_count < 1_000_000:
        return f"{byte_count / 1_000:.1f} kB"
    return f"{byte_count / 1_000_000:.1f} MB"


def states(counts: dict[str, int]) -> str:
    """How many batches are in each state that any is in."""
    words = (f"{number:,} {state.replace('_', ' ')}" for state, number in counts.items() if number)
    return ", ".join(words)


def _told(at: str, zone: tzinfo | None, form: str) -> str:
    try:
        return datetime.fromisoformat(at).astimezone(zone).strftime(form)
    except (ValueError, OverflowError):
        return at  # no time, or one that no calendar here reaches


def _two(whole: int, larger: tuple[int, str], smaller: tuple[int, str]) -> str:
    first, rest = divmod(whole, larger[0])
    second = rest // smaller[0]
    return f"{first} {larger[1]}" + (f" {second} {smaller[1]}" if second else "")
