"""The batches of an ingestion and their states, as text that SQLite puts together.

A row at a time through Python takes several times as long, and keeps other threads waiting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Text,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    true,
)

from ingest_app.models import BatchStatus, batches, packed_batches
from ingest_app.prepared import fetch_all, fetch_one
from ingest_app.sqlite import array_elements

PART_SIZE = 1_000
"""How many batches are read at once."""

_LETTER_AT = 3  # where the words for the states all differ
_ENDLESS = 2**63 - 1

_THE_INGESTION = bindparam("the_ingestion", type_=Text)
_THE_MOST = bindparam("the_most", type_=Integer)
_AFTER = bindparam("the_after", type_=Integer)
_OF_IT = batches.c.ingestion_id == _THE_INGESTION
_PACKED_OF_IT = packed_batches.c.ingestion_id == _THE_INGESTION


def _line(position: ColumnElement[int], ids: Any, status: Any) -> ColumnElement[str]:
    form = '{"batch_id":"%s-%d","ids":%s,"status":"%s"}'
    return func.printf(form, _THE_INGESTION, position, ids, status, type_=Text).label("line")


_STATE = func.substr(batches.c.status, _LETTER_AT + 1, 1, type_=Text).label("state")
# In whatever order the index has them, which is always the same; to ask for one takes longer.
_STATES = select(func.group_concat(_STATE, "").label("states")).where(_OF_IT)
# SQLite keeps the order of a sub-select for the aggregate around it; to say it inside, as
# https://sqlite.org/lang_aggfunc.html#group_concat has it, takes version 3.44.
_FIRST = (
    select(_STATE, _line(batches.c.position, batches.c.ids, batches.c.status))
    .where(_OF_IT)
    .order_by(batches.c.position)
    # A literal: with a bound limit SQLite plans the statement anew each time (51 us, not 11).
    .limit(literal_column(str(PART_SIZE + 1), Integer))
    .subquery()
)
_WHOLE = select(
    func.group_concat(_FIRST.c.state, "").label("states"),
    func.group_concat(_FIRST.c.line, ",").label("text"),
    exists().where(_PACKED_OF_IT).label("is_packed"),
)
_PACKS = (
    select(
        packed_batches.c.first_batch_id,
        packed_batches.c.first_position,
        packed_batches.c.batch_count,
        packed_batches.c.status,
    )
    .where(_PACKED_OF_IT)
    .order_by(packed_batches.c.first_position)
)
_PLAIN = (
    select(batches.c.position, _line(batches.c.position, batches.c.ids, batches.c.status))
    .where(
        _OF_IT,
        batches.c.position > _AFTER,
        batches.c.position < bindparam("the_end", type_=Integer),
    )
    .order_by(batches.c.position)
    .limit(_THE_MOST)
    .subquery()
)
# Without ORDER BY: json_each goes along the array, and SQLite would sort it again.
_ONE = array_elements(packed_batches.c.ids)
_POSITION = packed_batches.c.first_position + _ONE.c.key
_PACKED = (
    select(_POSITION.label("position"), _line(_POSITION, _ONE.c.value, packed_batches.c.status))
    .join_from(packed_batches, _ONE, true())
    .where(
        packed_batches.c.first_batch_id == bindparam("the_pack", type_=Integer),
        _POSITION > _AFTER,
    )
    .limit(_THE_MOST)
    .subquery()
)
_PLAIN_PART, _PACKED_PART = (
    select(
        func.group_concat(some.c.line, ",").label("text"),
        func.count().label("batch_count"),
        func.max(some.c.position).label("last_position"),
    )
    for some in (_PLAIN, _PACKED)
)


class Part(NamedTuple):
    """Consecutive batches as JSON text with commas between them."""

    text: str
    batch_count: int
    last_position: int


class Pack(NamedTuple):
    """Batches that are packed, without their IDs."""

    first_batch_id: int
    first_position: int
    batch_count: int
    status: str


@dataclass(frozen=True)
class States:
    """The states of all batches of an ingestion.

    letters: of those that are not packed, one of each word, which tells it from the others, always
        in the same order.
    """

    letters: str
    packs: Sequence[Pack] = ()

    @property
    def batch_count(self) -> int:
        """Of all batches."""
        return len(self.letters) + sum(pack.batch_count for pack in self.packs)

    def derived(self) -> BatchStatus:
        """The state of the ingestion."""
        packed = {pack.status for pack in self.packs}
        found = {s for s in BatchStatus if s in packed or s[_LETTER_AT] in self.letters}
        if found == {BatchStatus.YET_TO_START}:
            return BatchStatus.YET_TO_START
        if found & {BatchStatus.YET_TO_START, BatchStatus.TRIGGERED}:
            return BatchStatus.TRIGGERED
        ended = (BatchStatus.FAILED, BatchStatus.CANCELLED, BatchStatus.COMPLETED)
        return next(status for status in ended if status in found)


class Whole(NamedTuple):
    """All batches of an ingestion."""

    states: States
    text: str


def read_whole(connection: Connection, ingestion_id: str) -> Whole | None:
    """An ingestion of up to PART_SIZE batches, in one statement; None when it has more, or none."""
    found = fetch_one(connection, _WHOLE, {"the_ingestion": ingestion_id})
    if found.text is None or found.is_packed or len(found.states) > PART_SIZE:
        return None
    return Whole(States(found.states), found.text)


def read_states(connection: Connection, ingestion_id: str) -> States:
    """The states of its batches; none when there is no such ingestion."""
    the_ingestion = {"the_ingestion": ingestion_id}
    letters = fetch_one(connection, _STATES, the_ingestion).states or ""
    return States(letters, [Pack(*row) for row in fetch_all(connection, _PACKS, the_ingestion)])


def read_parts(
    connection: Connection,
    ingestion_id: str,
    packs: Sequence[Pack],
    *,
    after: int,
    limit: int | None = None,
) -> Iterator[Part]:
    """Its batches after a position in order, at most `limit`; each part is read as it is asked for.

    packs: all that the ingestion has, in order.
    """
    left = _ENDLESS if limit is None else limit
    for statement, where in _places(packs, after):
        most = part_size = PART_SIZE
        while left and part_size == most:
            most = min(left, PART_SIZE)
            bounds = {"the_ingestion": ingestion_id, "the_after": after, "the_most": most}
            text, part_size, last_position = fetch_one(connection, statement, {**bounds, **where})
            if part_size:
                yield Part(text, part_size, last_position)
                left, after = left - part_size, last_position


def _places(packs: Sequence[Pack], after: int) -> Iterator[tuple[Executable, dict[str, int]]]:
    """What to read in turn: each pack, and what is not packed where there is room for it."""
    next_position = after + 1
    for pack in packs:
        end = pack.first_position + pack.batch_count
        if end <= next_position:
            continue
        if pack.first_position > next_position:
            yield _PLAIN_PART, {"the_end": pack.first_position}
        yield _PACKED_PART, {"the_pack": pack.first_batch_id}
        next_position = end
    yield _PLAIN_PART, {"the_end": _ENDLESS}
