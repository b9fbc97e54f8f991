"""The table of API keys: create, list and revoke them, and find out whose one is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    update,
)

from ingest_app.access.identity import Identity
from ingest_app.access.tokens import Token, make_token
from ingest_app.clock import Clock
from ingest_app.database import Database
from ingest_app.errors import KeyNameTaken, UnknownKey, UnusableKeyName
from ingest_app.models import api_keys, browser_sessions, ingestions
from ingest_app.prepared import Row, change, fetch_all, fetch_first, fetch_value
from ingest_app.states import Role

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}", re.ASCII)

_ONE: ColumnElement[int] = literal_column("1", Integer)
_ANY = select(_ONE).select_from(api_keys).limit(_ONE)
_BY_PREFIX = select(api_keys).where(api_keys.c.prefix == bindparam("the_prefix", type_=Text))
_BY_NAME = select(api_keys).where(api_keys.c.name == bindparam("the_name", type_=Text))
_ALL = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.name)
_ADD = insert(api_keys)
_REVOKE = update(api_keys).where(
    api_keys.c.name == bindparam("the_name", type_=Text), api_keys.c.revoked_at.is_(None)
)
_END_SESSIONS = delete(browser_sessions).where(
    browser_sessions.c.key_prefix == bindparam("the_prefix", type_=Text)
)
_IS_OF = select(_ONE).where(
    ingestions.c.id == bindparam("the_ingestion", type_=Text),
    ingestions.c.submitted_by == bindparam("the_owner", type_=Text),
)


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret; times are aware UTC, `revoked_at` None while it is valid."""

    name: str
    owner: str
    prefix: str
    role: Role
    max_waiting_ids: int | None
    max_requests_per_minute: int | None
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True)
class KeyMatch:
    """A key that begins as one that is known; holder: None when it is another, or revoked."""

    holder: Identity | None


def create_key(
    database: Database,
    name: str,
    role: Role,
    *,
    clock: Clock,
    owner: str | None = None,
    max_waiting_ids: int | None = None,
    max_requests_per_minute: int | None = None,
) -> Token:
    """Store a new key and return it; it cannot be read again.

    The first one closes the service to those who have none. owner: whose ingestions it is for; None
    for its own name. Limits: None for the settings'. Raises UnusableKeyName, KeyNameTaken.
    """
    owner = name if owner is None else owner
    for given in (name, owner):
        if not _NAME.fullmatch(given):
            raise UnusableKeyName(given)
    token = make_token()
    with database.write() as connection:
        if fetch_first(connection, _BY_NAME, {"the_name": name}) is not None:
            raise KeyNameTaken(name)
        row = {
            "name": name,
            "owner": owner,
            "prefix": token.prefix,
            "digest": token.digest,
            "role": role.value,
            "max_waiting_ids": max_waiting_ids,
            "max_requests_per_minute": max_requests_per_minute,
            "created_at": clock.read().at,
        }
        change(connection, _ADD, row)
    return token


def list_keys(database: Database) -> Sequence[ApiKey]:
    """All keys, the oldest first, revoked ones too."""
    with database.look() as connection:
        return [_api_key(row) for row in fetch_all(connection, _ALL, {})]


def revoke_key(database: Database, name: str, *, clock: Clock) -> ApiKey:
    """Make a key worthless from now on, and the sessions that began with it; twice is as once.

    Raises UnknownKey.
    """
    with database.write() as connection:
        change(connection, _REVOKE, {"the_name": name, "revoked_at": clock.read().at})
        row = fetch_first(connection, _BY_NAME, {"the_name": name})
        if row is None:
            raise UnknownKey(name)
        change(connection, _END_SESSIONS, {"the_prefix": row.prefix})
        return _api_key(row)


def is_open(database: Database) -> bool:
    """True while no key was ever created, so that nobody needs one."""
    with database.look() as connection:
        return fetch_value(connection, _ANY, {}) is None


def match_key(database: Database, token: Token) -> KeyMatch | None:
    """What is known of the key that this one says it is; None when none begins so."""
    with database.look() as connection:
        row = fetch_first(connection, _BY_PREFIX, {"the_prefix": token.prefix})
    if row is None:
        return None
    is_valid = token.matches(row.digest) and row.revoked_at is None
    return KeyMatch(identity_in(row) if is_valid else None)


def owns(database: Database, owner: str, ingestion_id: str) -> bool:
    """True when the ingestion was submitted with a key of this owner."""
    with database.look() as connection:
        which = {"the_ingestion": ingestion_id, "the_owner": owner}
        return fetch_value(connection, _IS_OF, which) is not None


def identity_in(row: Row) -> Identity:
    """What a row of `api_keys` says of who has the key."""
    return Identity(
        role=Role(row.role),
        key_name=row.name,
        owner=row.owner,
        max_waiting_ids=row.max_waiting_ids,
        max_requests_per_minute=row.max_requests_per_minute,
        key_prefix=row.prefix,
    )


def _api_key(row: Row) -> ApiKey:
    return ApiKey(
        name=row.name,
        owner=row.owner,
        prefix=row.prefix,
        role=Role(row.role),
        max_waiting_ids=row.max_waiting_ids,
        max_requests_per_minute=row.max_requests_per_minute,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
