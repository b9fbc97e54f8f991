"""IDs cut into submissions: bodies on disk, which can be sent again when an answer is lost."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO

from ingest_app.cli.exits import Unusable
from ingest_app.cli.ids import Given

MOST_IDS = 1_000_000
MOST_BYTES = 32 * 1024 * 1024 - 1024
"""What the service takes on its defaults, less some room for what stands beside the IDs."""

_KEPT_IN_MEMORY_BYTES = 1024 * 1024
_WRITTEN_AT_ONCE_COUNT = 10_000
_LONGEST_ID = 255 * len(r"\ud83d\ude00") + len('""')
"""As JSON in ASCII; what is too long, but not so long, the service names together with the rest."""

_CHUNK_BYTES = 64 * 1024
_CLOSING = b"]}"


class Lines:
    """On which line each ID stands, from 1: kept small, of lines in a row only the first."""

    def __init__(self) -> None:
        self._positions, self._lines = array("Q"), array("Q")
        self._next_line = 0

    def add(self, position: int, line: int) -> None:
        """The ID at this position, which is the next one."""
        if line != self._next_line:
            self._positions.append(position)
            self._lines.append(line)
        self._next_line = line + 1

    def of(self, position: int) -> int:
        """The line of the ID at a position."""
        run = bisect_right(self._positions, position) - 1
        return self._lines[run] + position - self._positions[run]


def _new_file() -> IO[bytes]:
    return SpooledTemporaryFile(_KEPT_IN_MEMORY_BYTES)


@dataclass
class Part:
    """The IDs of one submission, each with a comma behind it in a file.

    number: from 1.
    noun: what the IDs stand on, `line` or `argument`.
    is_only: True when it holds all IDs there are.
    """

    number: int
    noun: str = "line"
    is_only: bool = False
    id_count: int = 0
    byte_count: int = 0
    lines: Lines = field(default_factory=Lines)
    file: IO[bytes] = field(default_factory=_new_file)

    def has_room_for(self, text: str, most_ids: int) -> bool:
        """True when one more ID can be added."""
        return self.id_count < most_ids and self.byte_count + len(text) < MOST_BYTES

    def add(self, text: str, line: int) -> None:
        """Count an ID in; it has still to be written."""
        self.lines.add(self.id_count, line)
        self.id_count += 1
        self.byte_count += len(text) + 1

    def write(self, texts: list[str]) -> None:
        """Write IDs that were added."""
        self.file.write("".join(f"{text}," for text in texts).encode("ascii"))


class Submission:
    """A part as the body of a request; `tell` is told how many bytes of it were taken."""

    def __init__(
        self, part: Part, members: Mapping[str, str], tell: Callable[[int], None] = lambda _: None
    ) -> None:
        self.part = part
        self._opening = f'{json.dumps(dict(members))[:-1]}{", " if members else ""}"ids":['.encode()
        self._tell = tell

    def __len__(self) -> int:
        # Without the comma behind the last ID.
        return len(self._opening) + self.part.byte_count - 1 + len(_CLOSING)

    def __iter__(self) -> Iterator[bytes]:
        sent_count, left_count = 0, self.part.byte_count - 1
        self.part.file.seek(0)
        for chunk in chain([self._opening], self._ids(left_count), [_CLOSING]):
            self._tell(sent_count)
            yield chunk
            sent_count += len(chunk)
        self._tell(sent_count)

    def _ids(self, left_count: int) -> Iterator[bytes]:
        while left_count > 0:
            chunk = self.part.file.read(min(_CHUNK_BYTES, left_count))
            left_count -= len(chunk)
            yield chunk


def split(
    given: Iterable[Given], *, most_ids: int = MOST_IDS, noun: str = "line"
) -> Generator[Part, None, None]:
    """Cut IDs into parts that one submission takes each; only as far as a part needs are they read.

    A part is gone when the next one is taken, and the last when this is closed.
    noun: what the IDs stand on, see `Part`.
    """
    rest = iter(given)
    first, number = next(rest, None), 0
    while first is not None:
        number += 1
        part = Part(number, noun)
        with part.file:
            first = _fill(part, chain([first], rest), most_ids)
            part.is_only = number == 1 and first is None
            yield part


def _fill(part: Part, given: Iterator[Given], most_ids: int) -> Given | None:
    """Add IDs while there is room, and return the first for which there is none (Unusable)."""
    texts: list[str] = []
    left_over = None
    for text, line in given:
        if len(text) > _LONGEST_ID:
            raise Unusable(f"{part.noun.capitalize()} {line}: an ID has at most 255 characters.")
        if not part.has_room_for(text, most_ids):
            left_over = (text, line)
            break
        part.add(text, line)
        texts.append(text)
        if len(texts) == _WRITTEN_AT_ONCE_COUNT:
            part.write(texts)
            texts.clear()
    part.write(texts)
    return left_over
