"""Statements that are compiled once mean what SQLAlchemy means by them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    create_engine,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from ingest_app.column_types import UTCDateTime
from ingest_app.prepared import (
    change,
    change_each,
    fetch_all,
    fetch_first,
    fetch_one,
    fetch_value,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("made_at", UTCDateTime()),
)
ADD = insert(THINGS)
ALL = select(THINGS).order_by(THINGS.c.id)
THE_THING = THINGS.c.id == bindparam("the_thing")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path / 'things.db'}")
    with engine.begin() as connection:
        THINGS.metadata.create_all(connection)
        yield connection
    engine.dispose()


def test_values_pass_through_their_types_both_ways(connection: Connection) -> None:
    change(connection, ADD, {"name": "lamp", "made_at": NOON})
    assert fetch_one(connection, ALL, {}) == (1, "lamp", NOON)
    assert connection.execute(ALL).one() == (1, "lamp", NOON)


def test_rows_have_the_columns_as_attributes(connection: Connection) -> None:
    change(connection, ADD, {"name": "lamp", "made_at": None})
    found = fetch_first(connection, ALL, {})
    assert (found.id, found.name, found.made_at) == (1, "lamp", None)


def test_naive_time_is_refused(connection: Connection) -> None:
    with pytest.raises(ValueError, match="without a zone"):
        change(connection, ADD, {"name": "lamp", "made_at": datetime(2026, 11, 24)})


def test_one_update_sets_other_columns_at_each_run(connection: Connection) -> None:
    rename = update(THINGS).where(THE_THING)
    change_each(connection, ADD, [{"name": "lamp"}, {"name": "desk"}])
    assert change(connection, rename, {"the_thing": 1, "name": "bulb"}) == 1
    assert change(connection, rename, {"the_thing": 2, "made_at": NOON}) == 1
    assert fetch_all(connection, ALL, {}) == [(1, "bulb", None), (2, "desk", NOON)]


def test_values_of_the_statement_itself_are_kept(connection: Connection) -> None:
    change(connection, ADD, {"name": "lamp", "made_at": NOON})
    forget = update(THINGS).where(THE_THING, THINGS.c.made_at <= NOON).values(made_at=None)
    assert change(connection, forget, {"the_thing": 1}) == 1
    assert change(connection, forget, {"the_thing": 1}) == 0
    assert fetch_value(connection, select(THINGS.c.made_at), {}) is None


def test_insert_returns_what_it_is_asked_for(connection: Connection) -> None:
    returning = insert(THINGS).returning(THINGS.c.id, THINGS.c.made_at)
    assert fetch_one(connection, returning, {"name": "lamp", "made_at": NOON}) == (1, NOON)


def test_type_of_an_expression_is_known(connection: Connection) -> None:
    change(connection, ADD, {"name": "lamp", "made_at": NOON})
    assert fetch_value(connection, select(func.max(THINGS.c.made_at)), {}) == NOON


def test_column_without_a_usable_name_is_still_a_column(connection: Connection) -> None:
    assert fetch_one(connection, select(literal_column("1").label("a b")), {}) == (1,)


def test_nothing_found_is_none(connection: Connection) -> None:
    assert fetch_all(connection, ALL, {}) == []
    assert fetch_first(connection, ALL, {}) is None
    assert fetch_value(connection, ALL, {}) is None


def test_one_row_is_asked_for_and_none_is_there(connection: Connection) -> None:
    with pytest.raises(ValueError, match="not enough values"):
        fetch_one(connection, ALL, {})


def test_missing_value_is_an_error(connection: Connection) -> None:
    with pytest.raises(KeyError, match="the_thing"):
        fetch_all(connection, select(THINGS).where(THE_THING), {})


def test_unknown_column_is_an_error(connection: Connection) -> None:
    with pytest.raises(Exception, match="colour"):
        change(connection, ADD, {"name": "lamp", "colour": "red"})


def test_nothing_is_run_for_no_values(connection: Connection) -> None:
    change_each(connection, ADD, [])
    assert fetch_all(connection, ALL, {}) == []


def test_fault_is_raised_as_sqlalchemy_raises_it(connection: Connection) -> None:
    with pytest.raises(IntegrityError) as raised:
        change(connection, ADD, {"name": None})
    assert "things.name" in str(raised.value.orig)


def test_fault_after_the_first_row_is_raised_as_sqlalchemy_raises_it(
    connection: Connection,
) -> None:
    change_each(connection, ADD, [{"name": "[1]"}, {"name": "no JSON"}])
    lengths = select(func.json_array_length(THINGS.c.name)).order_by(THINGS.c.id)
    with pytest.raises(DBAPIError, match="malformed JSON"):
        fetch_all(connection, lengths, {})
