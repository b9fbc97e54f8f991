"""How long an upstream that has had enough wants to be left alone. Pure."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

LONGEST_SECONDS = 366 * 86_400.0
"""Nobody means more; in a field that may hold a delay or a date, more is a date."""

_FIRST_MILLISECOND = 10**11
"""As seconds since 1970 it lies in the year 5138, as milliseconds in 1973."""

_NUMBER = re.compile(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*(?:[,;]|\Z)", re.ASCII)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class Deferral:
    """The upstream wants to be left alone; seconds is None when it does not say for how long."""

    seconds: float | None


@dataclass(frozen=True)
class _Quota:
    """What is left until the reset, of one limit; None for what is not said."""

    remaining: float | None
    reset_seconds: float | None


def deferral_of(status: int, headers: Mapping[str, str], now: datetime) -> Deferral | None:
    """The pause an answer asks for: a 429 always does, a 503 when it says for how long.

    headers: looked up by any spelling of their names. now: aware; dates are read against the
        answer's own Date where there is one, so that a wrong clock here does no harm.
    None when it asks for none. Values that make no sense count as absent (RFC 9110 section 10.2.3,
    draft-ietf-httpapi-ratelimit-headers-11 and its predecessors, and what they standardize).
    """
    if status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return None
    reference = _date(headers.get("Date")) or now
    retry_after = _retry_after(headers.get("Retry-After"), reference)
    if retry_after is not None:
        return Deferral(retry_after)
    quotas = _quotas(headers, reference)
    if any(quota.remaining == 0 for quota in quotas):
        return Deferral(_longest(quota for quota in quotas if quota.remaining == 0))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Deferral(_longest(quota for quota in quotas if quota.remaining is None))
    return None


def _retry_after(value: str | None, reference: datetime) -> float | None:
    seconds = _number(value)
    if seconds is not None:
        return seconds if seconds <= LONGEST_SECONDS else None
    until = _date(value)
    return None if until is None else _from_now((until - reference).total_seconds())


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _from_now(seconds: float) -> float | None:
    if abs(seconds) > LONGEST_SECONDS:
        return None
    return max(0.0, seconds)


def _number(value: str | None) -> float | None:
    found = _NUMBER.match(value or "")
    return float(found[1]) if found else None


def _longest(quotas: Iterable[_Quota]) -> float | None:
    return max(
        (quota.reset_seconds for quota in quotas if quota.reset_seconds is not None), default=None
    )


def _quotas(headers: Mapping[str, str], reference: datetime) -> Sequence[_Quota]:
    # The first family that says anything is the one that counts.
    return (
        _structured(list(_members(headers.get("RateLimit"))), reference)
        or _separate(headers, "RateLimit", reference)
        or _separate(headers, "X-RateLimit", reference)
    )


def _members(value: str | None) -> Iterator[dict[str, str]]:
    """The parameters of each member of a list; names in quotes may hold any character."""
    for member in _QUOTED.sub('""', value or "").split(","):
        pairs = (part.partition("=") for part in member.split(";"))
        yield from filter(None, [{k.strip().lower(): v.strip() for k, found, v in pairs if found}])


def _structured(members: Sequence[Mapping[str, str]], reference: datetime) -> Sequence[_Quota]:
    named = [_quota(one["r"], one.get("t"), reference) for one in members if "r" in one]
    if named:
        return named
    older = ChainMap(*map(dict, members))
    if "remaining" not in older and "reset" not in older:
        return []
    return [_quota(older.get("remaining"), older.get("reset"), reference)]


def _separate(headers: Mapping[str, str], family: str, reference: datetime) -> Sequence[_Quota]:
    remaining, reset = headers.get(f"{family}-Remaining"), headers.get(f"{family}-Reset")
    return [] if remaining is reset is None else [_quota(remaining, reset, reference)]


def _quota(remaining: str | None, reset: str | None, reference: datetime) -> _Quota:
    return _Quota(_number(remaining), _reset_seconds(_number(reset), reference))


def _reset_seconds(value: float | None, reference: datetime) -> float | None:
    """Seconds until a reset that is given as a delay, or as a date in seconds or milliseconds."""
    if value is None or value <= LONGEST_SECONDS:
        return value
    at_seconds = value / 1_000 if value >= _FIRST_MILLISECOND else value
    return _from_now(at_seconds - reference.timestamp())
