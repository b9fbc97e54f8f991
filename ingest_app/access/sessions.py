"""Sessions of browsers: somebody showed a key once, and a random cookie stands for it since."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from sqlalchemy import Integer, Text, bindparam, delete, insert, select

from ingest_app.access.identity import Identity
from ingest_app.access.keys import identity_in
from ingest_app.clock import Clock
from ingest_app.column_types import UTCDateTime
from ingest_app.database import Database
from ingest_app.models import api_keys, browser_sessions
from ingest_app.prepared import change, fetch_first

MOST_PER_KEY = 100
"""Sessions of one key; the oldest ends when another begins."""

_TOKEN_BYTES = 32
_FORM = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MOST_SWEPT = 500
_CSRF_PURPOSE = b"csrf of the page"

_sessions = browser_sessions.c
_OF_KEY = _sessions.key_prefix == bindparam("the_prefix", type_=Text)
_NOW = bindparam("now", type_=UTCDateTime())

_HOLDER = (
    select(api_keys)
    .join_from(browser_sessions, api_keys, api_keys.c.prefix == _sessions.key_prefix)
    .where(
        _sessions.digest == bindparam("the_digest", type_=Text),
        _sessions.expires_at > _NOW,
        api_keys.c.revoked_at.is_(None),
    )
)
_FIND = select(_sessions.digest).where(_sessions.digest == bindparam("the_digest", type_=Text))
_BEGIN = insert(browser_sessions)
_END = delete(browser_sessions).where(_sessions.digest == bindparam("the_digest", type_=Text))
_SWEEP = delete(browser_sessions).where(
    _sessions.digest.in_(
        select(_sessions.digest)
        .where(_sessions.expires_at <= _NOW)
        .order_by(_sessions.expires_at)
        .limit(bindparam("the_most", type_=Integer))
    )
)
_MAKE_ROOM = delete(browser_sessions).where(
    _OF_KEY,
    _sessions.digest.not_in(
        select(_sessions.digest)
        .where(_OF_KEY)
        .order_by(_sessions.created_at.desc(), _sessions.digest)
        .limit(bindparam("the_most", type_=Integer))
    ),
)


def begin_session(
    database: Database,
    key_prefix: str,
    *,
    clock: Clock,
    hours: float,
    instead_of: str | None = None,
) -> str:
    """Sign the holder of this key in for so many hours, and return the token for the cookie.

    It is new each time, and stored as its digest. instead_of: the token that the browser had
    before, whose session ends. Sessions whose time is over are deleted, too.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    now = clock.read()
    row = {
        "digest": _digest(token),
        "key_prefix": key_prefix,
        "created_at": now.at,
        "expires_at": now.later(hours * 3600).at,
    }
    with database.write() as connection:
        change(connection, _END, {"the_digest": _digest(instead_of or "")})
        change(connection, _SWEEP, {"now": now.at, "the_most": _MOST_SWEPT})
        change(connection, _MAKE_ROOM, {"the_prefix": key_prefix, "the_most": MOST_PER_KEY - 1})
        change(connection, _BEGIN, row)
    return token


def end_session(database: Database, token: str) -> None:
    """Sign out; nothing happens when there is no such session."""
    which = {"the_digest": _digest(token)}
    with database.read() as connection:
        if fetch_first(connection, _FIND, which) is None:  # the write lock is not for everybody
            return
    with database.write() as connection:
        change(connection, _END, which)


def session_holder(database: Database, token: str, *, clock: Clock) -> Identity | None:
    """Whoever signed in and got this token; None when the session is over or its key revoked."""
    if not _FORM.fullmatch(token):
        return None
    which = {"the_digest": _digest(token), "now": clock.read().at}
    with database.look() as connection:
        row = fetch_first(connection, _HOLDER, which)
    return row and identity_in(row)


def csrf_token(token: str) -> str:
    """What only a page of this session can know, and no other site; derived, so not stored."""
    return hmac.new(token.encode(), _CSRF_PURPOSE, hashlib.sha256).hexdigest()


def is_csrf_token(sent: str, token: str) -> bool:
    """True when this was derived from the session's token; takes as long when it was not."""
    return hmac.compare_digest(sent.encode(), csrf_token(token).encode())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
