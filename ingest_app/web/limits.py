"""Limits over HTTP: how many requests an API key may make, and what its answers say of that."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

from flask import Flask, Response, current_app, g

from ingest_app.access.counters import Counters
from ingest_app.access.identity import Identity
from ingest_app.access.windows import WINDOW_SECONDS, Decision
from ingest_app.errors import TooManyRequests, TooManySignIns
from ingest_app.runtime import current_runtime, runtime_of

SIGN_INS_PER_MINUTE = 30
"""With one key: it may be that of a team."""

_COUNTERS = "ingest_counters"
_POLICY = "key"

POLICY_HEADER: dict[str, Any] = {
    "description": (
        "How many requests (q) this API key may make in how many seconds (w), where it has a limit:"
        " draft-ietf-httpapi-ratelimit-headers-11."
    ),
    "schema": {"type": "string"},
    "example": '"key";q=60;w=60',
}
LIMIT_HEADER: dict[str, Any] = {
    "description": "How many more it may make (r), and in how many seconds (t) that will be more.",
    "schema": {"type": "string"},
    "example": '"key";r=0;t=12',
}


def register_limits(app: Flask) -> None:
    """Count from now on, and let the answers to API keys with a limit say how much is left."""
    runtime = runtime_of(app)
    use_counters(app, Counters(Path(str(runtime.database.engine.url.database)), runtime.clock))
    app.after_request(_tell)


def use_counters(app: Flask, counters: Counters) -> None:
    """Let an application count with these."""
    app.extensions[_COUNTERS] = counters


def current_counters() -> Counters:
    """Those of the running application."""
    return cast(Counters, current_app.extensions[_COUNTERS])


def count_request(identity: Identity) -> None:
    """Count the request for its API key, if that has a limit (TooManyRequests)."""
    own = identity.max_requests_per_minute
    limit = current_runtime().settings.max_requests_per_minute if own is None else own
    if limit is None or identity.key_name is None:
        return
    decision = current_counters().take(f"key {identity.key_name}", limit)
    g.requests_of_key = decision
    if decision is not None and not decision.is_allowed:
        raise TooManyRequests(limit, retry_after_seconds(decision))


def count_sign_in(identity: Identity) -> None:
    """Count a sign-in with an API key, be its requests limited or not (TooManySignIns).

    Each takes the write lock, which submissions and dispatching need.
    """
    decision = current_counters().take(f"sign-in {identity.key_name}", SIGN_INS_PER_MINUTE)
    if decision is not None and not decision.is_allowed:
        raise TooManySignIns(SIGN_INS_PER_MINUTE, retry_after_seconds(decision))


def max_waiting_ids(identity: Identity) -> int | None:
    """The most IDs of its owner's ingestions that have not ended; None for any number."""
    if identity.key_name is None:
        return None
    own = identity.max_waiting_ids
    return current_runtime().settings.max_waiting_ids if own is None else own


def retry_after_seconds(decision: Decision) -> int:
    """The whole seconds after which more is allowed."""
    return math.ceil(decision.wait_seconds)


def _tell(response: Response) -> Response:
    # https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (11)
    decision: Decision | None = g.get("requests_of_key")
    if decision is not None:
        left = f"r={decision.remaining};t={retry_after_seconds(decision)}"
        policy = f"q={decision.limit};w={WINDOW_SECONDS}"
        response.headers["RateLimit-Policy"] = f'"{_POLICY}";{policy}'
        response.headers["RateLimit"] = f'"{_POLICY}";{left}'
    return response
