"""The elements of a JSON array, read piece by piece: an array of a million takes no memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NoReturn, TextIO

from ingest_app.cli.exits import Unusable

_PIECE_LENGTH = 64 * 1024
"""Also the longest an element may be; IDs are far shorter."""

_BLANK = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(
    r"""[ \t\r\n]*( 0 | -?[1-9][0-9]{0,18} | "[ !#-\[\]-~]*" )[ \t\r\n]*,""", re.VERBOSE
)
"""An integer, or a string of ASCII without a backslash, with a comma behind it."""


def read_array(file: TextIO) -> Iterator[tuple[str, int]]:
    """Each element as JSON in ASCII, with its line from 1; Unusable when it is not an array."""
    text = _Text(file)
    try:
        yield from _elements(text)
    except RecursionError:
        text.fail("what is nested so deep is no ID")


def _elements(text: _Text) -> Iterator[tuple[str, int]]:
    text.expect("[")
    if text.next_character() == "]":
        text.expect("]")
    else:
        while True:
            yield from text.plain_elements()
            yield text.element()
            if text.expect(",]") == "]":
                break
    if text.next_character():
        text.fail("something follows the array")


class _Text:
    """A text in pieces, and a place in it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._piece, self._place, self._line = "", 0, 1

    def next_character(self) -> str:
        """The next that is not blank, which becomes the place; "" at the end."""
        while True:
            blank = _BLANK.match(self._piece, self._place)
            assert blank is not None
            self._pass(len(blank[0]))
            if self._place < len(self._piece):
                return self._piece[self._place]
            if not self._read_on():
                return ""

    def expect(self, characters: str) -> str:
        """Pass one of these characters, and return it."""
        found = self.next_character()
        if not found or found not in characters:
            self.fail(f"{' or '.join(characters)} is missing")
        self._pass(1)
        return found

    def plain_elements(self) -> Iterator[tuple[str, int]]:
        """Pass the next ones and their commas while that is easily done: in a third of the time."""
        while found := _PLAIN.match(self._piece, self._place):
            yield found[1], self._line + self._piece.count("\n", self._place, found.start(1))
            self._pass(found.end() - self._place)

    def element(self) -> tuple[str, int]:
        """Pass an element, and return it with its line."""
        self.next_character()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._piece, self._place)
            except ValueError:
                end = len(self._piece)
            # At the end of a piece a number may go on in the next one.
            if end < len(self._piece):
                return self._pass_element(value, end)
            if len(self._piece) - self._place > _PIECE_LENGTH or not self._read_on():
                self.fail("an ID is missing or not ended")

    def fail(self, what: str) -> NoReturn:
        """Say what is wrong here (Unusable)."""
        raise Unusable(f"Line {self._line} of the JSON array: {what}.")

    def _pass_element(self, value: object, end: int) -> tuple[str, int]:
        text, line = self._piece[self._place : end], self._line
        self._pass(end - self._place)
        return text if text.isascii() else json.dumps(value), line

    def _pass(self, length: int) -> None:
        self._line += self._piece.count("\n", self._place, self._place + length)
        self._place += length

    def _read_on(self) -> bool:
        try:
            piece = self._file.read(_PIECE_LENGTH)
        except UnicodeDecodeError:
            self.fail("what follows is not UTF-8")
        self._piece, self._place = self._piece[self._place :] + piece, 0
        return bool(piece)


def _refuse_constant(name: str) -> NoReturn:
    # Python's decoder takes NaN and the infinities, which JSON does not have.
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
