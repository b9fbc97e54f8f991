"""Attempts with API keys that are not valid: each is counted, and too many are not looked at."""

from __future__ import annotations

import logging
import re
from ipaddress import IPv6Address, IPv6Network, ip_address

from flask import request

from ingest_app.access.identity import Identity
from ingest_app.access.keys import KeyMatch, match_key
from ingest_app.access.tokens import Token, read_token
from ingest_app.errors import KeyRefused, TooManyAttempts
from ingest_app.events import emit
from ingest_app.runtime import current_runtime
from ingest_app.web.limits import current_counters, retry_after_seconds

FAILURES_PER_MINUTE = 10
"""Of one address, and within it for each key that is known by its prefix."""

_SUBNET_BITS = 64  # of IPv6, as one customer has them

_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d+)?|(?P<v4>[\d.]+):\d+", re.ASCII)

_log = logging.getLogger(__name__)


def holder_of_sent_key(text: str | None) -> Identity:
    """Whoever has the API key that came with the request, None for what did not come as one.

    Raises KeyRefused, and TooManyAttempts without regard to whether it is valid. What begins as a
    known key is counted with that key, so that one client with a key that was revoked does not lock
    out others behind the same address.
    """
    token = read_token(text) if text else None
    match = match_key(current_runtime().database, token) if token else None
    bucket = _bucket_of(token if match else None)
    if match:
        _check(bucket)
        if match.holder:
            return match.holder
    _count_failure(bucket, token, match)
    raise KeyRefused(is_bearer=text is not None)


def place_of(address: str | None) -> str:
    """What an address is counted as: of IPv6 its network, of what is no address all together.

    A port, as some proxies add it to X-Forwarded-For, is left out.
    """
    try:
        parsed = ip_address(_without_port(address or ""))
    except ValueError:  # a Unix socket's other side has none
        return "none"
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), _SUBNET_BITS), strict=False))


def _without_port(address: str) -> str:
    found = _WITH_PORT.fullmatch(address)
    return (found["v6"] or found["v4"]) if found else address


def _bucket_of(token: Token | None) -> str:
    place = f"address {place_of(request.remote_addr)}"
    return f"{place} prefix {token.prefix}" if token else place


def _check(bucket: str) -> None:
    decision = current_counters().look(bucket, FAILURES_PER_MINUTE)
    if decision is not None and not decision.is_allowed:
        raise TooManyAttempts(retry_after_seconds(decision))


def _count_failure(bucket: str, token: Token | None, match: KeyMatch | None) -> None:
    decision = current_counters().take(bucket, FAILURES_PER_MINUTE)
    if decision is not None and not decision.is_allowed:
        raise TooManyAttempts(retry_after_seconds(decision))
    # As often as it is counted at most. A prefix that is not known may be anything, even a secret.
    known = {"prefix": token.prefix} if token and match else {}
    emit(_log, "key_refused", level=logging.WARNING, address=request.remote_addr, **known)
