"""API keys in the database: what is stored, whose a key is, and what revoking does."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from ingest_app.access.identity import ANYBODY, Identity
from ingest_app.access.keys import (
    KeyMatch,
    create_key,
    is_open,
    list_keys,
    match_key,
    owns,
    revoke_key,
)
from ingest_app.access.tokens import Token, make_token
from ingest_app.errors import KeyNameTaken, UnknownKey, UnusableKeyName
from ingest_app.states import Role
from tests.support.queues import Queue, opened


def create(queue: Queue, name: str = "anna", role: Role = Role.READER, **more: object) -> Token:
    return create_key(queue.database, name, role, clock=queue.clock, **more)  # type: ignore[arg-type]


def test_holder_is_who_it_was_created_for(queue: Queue) -> None:
    token = create(queue, owner="team", max_waiting_ids=10, max_requests_per_minute=5)
    holder = Identity(Role.READER, "anna", "team", 10, 5, token.prefix)
    assert match_key(queue.database, token) == KeyMatch(holder)
    assert match_key(queue.database, create(queue, "bert")).holder.owner == "bert"


def test_key_itself_is_nowhere_in_the_database(queue: Queue) -> None:
    token = create(queue)
    secret = token.text.split("_", 2)[2]
    file = queue.database.engine.url.database
    with queue.database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(file, "rb") as stored:
        everything = stored.read()
    assert token.prefix.encode() in everything
    assert secret.encode() not in everything
    assert len(queue.rows("SELECT digest FROM api_keys")[0][0]) == 64


def test_prefix_of_a_key_is_not_enough(queue: Queue) -> None:
    token = create(queue)
    guessed = Token(token.text[:-1] + ("A" if token.text[-1] != "A" else "B"), token.prefix)
    assert match_key(queue.database, guessed) == KeyMatch(None)
    assert match_key(queue.database, make_token()) is None


def test_revoked_key_is_worthless_at_once_and_for_good(queue: Queue) -> None:
    token = create(queue)
    revoked = revoke_key(queue.database, "anna", clock=queue.clock)
    assert match_key(queue.database, token) == KeyMatch(None)
    queue.clock.move(10)
    assert revoke_key(queue.database, "anna", clock=queue.clock) == revoked
    with pytest.raises(UnknownKey, match="bert"):
        revoke_key(queue.database, "bert", clock=queue.clock)


def test_another_process_sees_it_at_once(queue: Queue) -> None:
    with opened(queue.database.engine.url.database) as other:
        assert is_open(other)
        token = create(queue)
        assert not is_open(other)
        assert match_key(other, token).holder.key_name == "anna"
        revoke_key(queue.database, "anna", clock=queue.clock)
        assert match_key(other, token) == KeyMatch(None)


def test_any_key_closes_the_service_also_a_revoked_one(queue: Queue) -> None:
    assert is_open(queue.database)
    create(queue)
    revoke_key(queue.database, "anna", clock=queue.clock)
    assert not is_open(queue.database)
    queue.change("DELETE FROM api_keys")
    assert is_open(queue.database)


def test_name_is_used_once(queue: Queue) -> None:
    create(queue)
    revoke_key(queue.database, "anna", clock=queue.clock)
    with pytest.raises(KeyNameTaken, match="anna"):
        create(queue)
    assert len(list_keys(queue.database)) == 1


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "a\n", "é", "a" * 64, "a/b", "a'--"])
def test_names_are_plain(queue: Queue, name: str) -> None:
    with pytest.raises(UnusableKeyName):
        create(queue, name)
    with pytest.raises(UnusableKeyName):
        create(queue, "fine", owner=name)
    assert list_keys(queue.database) == []


def test_lists_the_oldest_first(queue: Queue) -> None:
    create(queue, "zoe", Role.OPERATOR)
    queue.clock.move(1)
    create(queue, "anna", owner="zoe")
    listed = list_keys(queue.database)
    assert [(key.name, key.owner, key.role) for key in listed] == [
        ("zoe", "zoe", Role.OPERATOR),
        ("anna", "zoe", Role.READER),
    ]


def test_owner_is_who_submitted(queue: Queue) -> None:
    with_owner = queue.submit(submitted_by="anna")
    without = queue.submit()
    assert owns(queue.database, "anna", with_owner)
    assert not owns(queue.database, "bert", with_owner)
    assert not owns(queue.database, "anna", without)
    assert not owns(queue.database, "anna", "a" * 24)


def test_role_includes_those_before_it() -> None:
    included = [[role for role in Role if other.includes(role)] for other in Role]
    assert included == [[Role.READER], [Role.READER, Role.SUBMITTER], list(Role)]


def test_operators_and_anybody_see_everything() -> None:
    assert ANYBODY.sees_only is None
    assert Identity(Role.OPERATOR, "zoe", "zoe").sees_only is None
    assert Identity(Role.SUBMITTER, "anna", "team").sees_only == "team"


def test_idempotency_key_is_the_submitters_own(queue: Queue) -> None:
    first = queue.submit(key="k", submitted_by="anna")
    assert queue.submit(key="k", submitted_by="anna") == first
    others = {queue.submit(key="k", submitted_by="bert"), queue.submit(key="k")}
    assert len({first, *others}) == 3
    assert queue.submit(key="k") in others


@pytest.mark.parametrize("column", ["max_waiting_ids", "max_requests_per_minute"])
def test_limit_that_nothing_could_meet_is_not_stored(queue: Queue, column: str) -> None:
    create(queue)
    queue.change(f"UPDATE api_keys SET {column} = 1")
    with pytest.raises(IntegrityError, match=f"ck_api_keys_{column}"):
        queue.change(f"UPDATE api_keys SET {column} = 0")
