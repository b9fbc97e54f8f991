"""Sessions of the page: random, stored as digests, over in time, at a sign-out and a revocation."""

from __future__ import annotations

import hashlib
from contextlib import closing

import pytest
from sqlalchemy import select

from ingest_app.access.identity import Identity
from ingest_app.access.keys import create_key, list_keys, revoke_key
from ingest_app.access.sessions import (
    MOST_PER_KEY,
    begin_session,
    csrf_token,
    end_session,
    is_csrf_token,
    session_holder,
)
from ingest_app.database import Database
from ingest_app.models import browser_sessions
from ingest_app.states import Role
from tests.support.clocks import HOUR, FakeClock

HOURS = 12.0


@pytest.fixture(autouse=True)
def keys(database: Database, clock: FakeClock) -> None:
    create_key(database, "ada", Role.SUBMITTER, clock=clock, owner="library", max_waiting_ids=9)
    create_key(database, "bob", Role.READER, clock=clock)


def prefix(database: Database, name: str = "ada") -> str:
    return next(key.prefix for key in list_keys(database) if key.name == name)


def begin(database: Database, clock: FakeClock, name: str = "ada", before: str = "") -> str:
    of = prefix(database, name)
    return begin_session(database, of, clock=clock, hours=HOURS, instead_of=before)


def holder(database: Database, clock: FakeClock, token: str) -> str | None:
    found = session_holder(database, token, clock=clock)
    return None if found is None else found.key_name


def stored(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(browser_sessions.c.digest)).scalars())


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def test_a_session_is_its_key(database: Database, clock: FakeClock) -> None:
    token = begin(database, clock)
    assert session_holder(database, token, clock=clock) == Identity(
        Role.SUBMITTER,
        key_name="ada",
        owner="library",
        max_waiting_ids=9,
        key_prefix=prefix(database),
    )


def test_only_the_digest_of_a_token_is_stored(database: Database, clock: FakeClock) -> None:
    token = begin(database, clock)
    assert stored(database) == {digest(token)}


def test_every_token_is_another_one(database: Database, clock: FakeClock) -> None:
    tokens = {begin(database, clock) for _ in range(20)}
    assert len(tokens) == 20
    assert {len(token) for token in tokens} == {43}  # 256 bits in base64


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("A" * 43, id="a token that was never given"),
        pytest.param("A" * 42, id="too short"),
        pytest.param("A" * 10_000, id="too long"),
        pytest.param("ä" * 43, id="letters that no token has"),
        pytest.param("A" * 42 + "\n", id="a line end"),
        pytest.param("' OR 1=1 --", id="SQL"),
    ],
)
def test_another_token_is_nobody(database: Database, clock: FakeClock, token: str) -> None:
    begin(database, clock)
    assert session_holder(database, token, clock=clock) is None


def test_the_stored_digest_is_no_token(database: Database, clock: FakeClock) -> None:
    assert holder(database, clock, digest(begin(database, clock))) is None


def test_it_ends_after_its_hours(database: Database, clock: FakeClock) -> None:
    token = begin(database, clock)
    clock.move(HOURS * HOUR - 1)
    assert holder(database, clock, token) == "ada"
    clock.move(1)
    assert holder(database, clock, token) is None


def test_it_ends_with_a_sign_out_and_others_stay(database: Database, clock: FakeClock) -> None:
    here, elsewhere = begin(database, clock), begin(database, clock)
    end_session(database, here)
    end_session(database, here)
    assert holder(database, clock, here) is None
    assert holder(database, clock, elsewhere) == "ada"


def test_all_of_a_key_end_when_it_is_revoked(database: Database, clock: FakeClock) -> None:
    first, second, other = (begin(database, clock, name) for name in ("ada", "ada", "bob"))
    revoke_key(database, "ada", clock=clock)
    found = [holder(database, clock, token) for token in (first, second, other)]
    assert found == [None, None, "bob"]
    assert stored(database) == {digest(other)}


def test_a_new_key_of_the_name_does_not_bring_them_back(
    database: Database, clock: FakeClock
) -> None:
    token = begin(database, clock)
    with closing(database.engine.raw_connection()) as by_hand:
        # As the sqlite3 program does it, which leaves rows behind that refer to the deleted one.
        by_hand.cursor().execute("PRAGMA foreign_keys = OFF")
        by_hand.cursor().execute("DELETE FROM api_keys WHERE name = 'ada'")
        by_hand.commit()
    create_key(database, "ada", Role.OPERATOR, clock=clock)
    assert digest(token) in stored(database)
    assert holder(database, clock, token) is None


def test_a_new_one_ends_what_the_browser_had(database: Database, clock: FakeClock) -> None:
    before = begin(database, clock, "bob")
    after = begin(database, clock, before=before)
    assert stored(database) == {digest(after)}


def test_those_that_are_over_are_deleted_at_the_next_sign_in(
    database: Database, clock: FakeClock
) -> None:
    begin(database, clock)
    clock.move(HOURS * HOUR / 2)
    half = begin(database, clock)
    clock.move(HOURS * HOUR / 2)
    new = begin(database, clock, "bob")
    assert stored(database) == {digest(half), digest(new)}


def test_a_key_has_so_many_at_most_and_the_oldest_ends(
    database: Database, clock: FakeClock
) -> None:
    other = begin(database, clock, "bob")
    tokens = []
    for _ in range(MOST_PER_KEY + 2):
        tokens.append(begin(database, clock))
        clock.move(1)
    assert stored(database) == {digest(token) for token in [other, *tokens[2:]]}


def test_a_csrf_token_is_of_one_session(database: Database, clock: FakeClock) -> None:
    here, elsewhere = begin(database, clock), begin(database, clock)
    assert is_csrf_token(csrf_token(here), here)
    for sent in (csrf_token(elsewhere), here, digest(here), "", "ä"):
        assert not is_csrf_token(sent, here)
