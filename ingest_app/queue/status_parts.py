"""The batches of an ingestion and their states, as text that SQLite puts together.

A row at a time through Python takes several times as long, and keeps other threads waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Text,
    bindparam,
    cast,
    exists,
    func,
    literal_column,
    select,
    true,
)

from ingest_app.models import batches, packed_batches
from ingest_app.prepared import fetch_all, fetch_one, fetch_value
from ingest_app.queue.statements import IS_PRUNED
from ingest_app.sqlite import array_elements
from ingest_app.states import ENDS, BatchStatus

PART_SIZE = 1_000
"""How many batches are read at once."""

_LETTER_AT = 3  # where the words for the states all differ
_ENDLESS = 2**63 - 1

_THE_INGESTION = bindparam("the_ingestion", type_=Text)
_THE_MOST = bindparam("the_most", type_=Integer)
_BETWEEN = bindparam("between", type_=Text)
_AFTER = bindparam("the_after", type_=Integer)
_OF_IT = batches.c.ingestion_id == _THE_INGESTION
_PACKED_OF_IT = packed_batches.c.ingestion_id == _THE_INGESTION


# What a line has of its own; `_Frame` has the rest.
_IDS: ColumnElement[str] = literal_column("""'","ids":'""")
_LINE = (
    cast(batches.c.position, Text)
    .concat(_IDS)
    .concat(batches.c.ids)
    .concat(literal_column("""',"status":"'"""))
    .concat(batches.c.status)
    .label("line")
)
_STATE = func.substr(batches.c.status, _LETTER_AT + 1, 1, type_=Text).label("state")
# In whatever order the index has them, which is always the same; to ask for one takes longer.
_STATES = select(func.group_concat(_STATE, "").label("states")).where(_OF_IT)
# SQLite keeps the order of a sub-select for the aggregate around it; to say it inside, as
# https://sqlite.org/lang_aggfunc.html#group_concat has it, takes version 3.44.
_FIRST = (
    select(_STATE, _LINE)
    .where(_OF_IT)
    .order_by(batches.c.position)
    # A literal: with a bound limit SQLite plans the statement anew each time (51 us, not 11).
    .limit(literal_column(str(PART_SIZE + 1), Integer))
    .subquery()
)
_WHOLE = select(
    func.group_concat(_FIRST.c.state, "").label("states"),
    func.group_concat(_FIRST.c.line, _BETWEEN).label("text"),
    exists().where(_PACKED_OF_IT).label("is_packed"),
    exists(IS_PRUNED).label("is_pruned"),
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
    select(batches.c.position, _LINE)
    .where(
        _OF_IT,
        batches.c.position > _AFTER,
        batches.c.position < bindparam("the_end", type_=Integer),
    )
    .order_by(batches.c.position)
    .limit(_THE_MOST)
    .subquery()
)
# In one level and without ORDER BY, since json_each goes along the array: a third less time.
_EACH = array_elements(packed_batches.c.ids)
_PACKED_PART = (
    select(
        func.group_concat(
            cast(packed_batches.c.first_position + _EACH.c.key, Text)
            .concat(_IDS)
            .concat(_EACH.c.value),
            _BETWEEN,
        )
    )
    .join_from(packed_batches, _EACH, true())
    .where(
        packed_batches.c.first_batch_id == bindparam("the_pack", type_=Integer),
        _EACH.c.key >= bindparam("the_first", type_=Integer),
        _EACH.c.key < bindparam("the_end", type_=Integer),
    )
)
_PLAIN_PART = select(
    func.group_concat(_PLAIN.c.line, _BETWEEN).label("text"),
    func.count().label("batch_count"),
    func.max(_PLAIN.c.position).label("last_position"),
)


class Part(NamedTuple):
    """Consecutive batches as JSON text with commas between them."""

    text: str
    batch_count: int
    last_position: int


class PackPlace(NamedTuple):
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
    packs: Sequence[PackPlace] = ()

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
        return next(status for status in ENDS if status in found)


class Whole(NamedTuple):
    """All batches of an ingestion."""

    states: States
    text: str


def read_whole(connection: Connection, ingestion_id: str) -> Whole | None:
    """An ingestion of up to PART_SIZE batches, in one statement; None when it has more, or none."""
    frame = _Frame(ingestion_id)
    where = {"the_ingestion": ingestion_id, "between": frame.between}
    found = fetch_one(connection, _WHOLE, where)
    is_elsewhere = found.is_packed or found.is_pruned
    if found.text is None or is_elsewhere or len(found.states) > PART_SIZE:
        return None
    return Whole(States(found.states), frame.around(found.text))


def read_states(connection: Connection, ingestion_id: str) -> States:
    """The states of its batches; none when there is no such ingestion."""
    the_ingestion = {"the_ingestion": ingestion_id}
    if fetch_value(connection, IS_PRUNED, the_ingestion) is not None:
        return States("")
    letters = fetch_one(connection, _STATES, the_ingestion).states or ""
    return States(
        letters, [PackPlace(*row) for row in fetch_all(connection, _PACKS, the_ingestion)]
    )


def read_parts(
    connection: Connection,
    ingestion_id: str,
    packs: Sequence[PackPlace],
    *,
    after: int,
    limit: int | None = None,
) -> Iterator[Part]:
    """Its batches after a position in order, at most `limit`; each part is read as it is asked for.

    packs: all that the ingestion has, in order.
    """
    left = _ENDLESS if limit is None else limit
    for read in _readers(connection, ingestion_id, packs, after):
        most = part_size = PART_SIZE
        while left and part_size == most:
            most = min(left, PART_SIZE)
            part = read(after, most)
            part_size = part.batch_count
            if part_size:
                yield part
                left, after = left - part_size, part.last_position


_Read = Callable[[int, int], Part]
"""Reads at most so many (the second) of the batches after a position (the first)."""


def _readers(
    connection: Connection, ingestion_id: str, packs: Sequence[PackPlace], after: int
) -> Iterator[_Read]:
    """What to read in turn: each pack, and what is not packed where there is room for it."""
    next_position = after + 1
    for pack in packs:
        end = pack.first_position + pack.batch_count
        if end <= next_position:
            continue
        if pack.first_position > next_position:
            yield partial(_read_plain, connection, ingestion_id, pack.first_position)
        yield partial(_read_packed, connection, ingestion_id, pack)
        next_position = end
    yield partial(_read_plain, connection, ingestion_id, _ENDLESS)


def _read_plain(connection: Connection, ingestion_id: str, end: int, after: int, most: int) -> Part:
    frame = _Frame(ingestion_id)
    which = {"the_ingestion": ingestion_id, "the_after": after, "the_end": end, "the_most": most}
    found = fetch_one(connection, _PLAIN_PART, {**which, "between": frame.between})
    return Part(frame.around(found.text), found.batch_count, found.last_position)


def _read_packed(
    connection: Connection, ingestion_id: str, pack: PackPlace, after: int, most: int
) -> Part:
    frame = _Frame(ingestion_id, f',"status":"{pack.status}"}}')
    first = max(after + 1 - pack.first_position, 0)
    end = min(first + most, pack.batch_count)
    if first >= end:
        return Part("", 0, after)
    which = {"the_pack": pack.first_batch_id, "the_first": first, "the_end": end}
    text = fetch_value(connection, _PACKED_PART, {**which, "between": frame.between})
    return Part(frame.around(text), end - first, pack.first_position + end - 1)


class _Frame:
    """What all lines have in common: SQLite takes twice as long to write it into each."""

    def __init__(self, ingestion_id: str, closing: str = '"}') -> None:
        self._opening, self._closing = f'{{"batch_id":"{ingestion_id}-', closing
        self.between = f"{closing},{self._opening}"

    def around(self, lines: str) -> str:
        return f"{self._opening}{lines}{self._closing}"
