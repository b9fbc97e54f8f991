"""The IDs that a user gives, from arguments, lines, a column or an array, one at a time.

Each comes as the JSON text that is sent, in ASCII, with the line of the input it stands on.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TextIO

from ingest_app.cli.exits import Unusable
from ingest_app.cli.json_array import read_array

Given = tuple[str, int]
"""An ID as JSON, and its line, from 1; of an argument, which one it is."""

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")  # "007" is text: as a number it would lose its zeros
_LEAST, _MOST = -(2**63), 2**63 - 1
_BLANK = b" \t\r\n\xef\xbb\xbf"
_LISTED = re.compile(
    r"""\s* (?: ( "(?:[^"\\]|\\.)*" ) | ([^\s",][^,]*)? ) \s* (?: , | \Z )""", re.VERBOSE
)
"""The next of a line and the comma behind it: a JSON string, or all before the comma, or none."""


def from_arguments(tokens: Iterable[str], *, as_text: bool) -> Iterator[Given]:
    """One ID each, commas and quotes and all."""
    return ((as_json(token, as_text=as_text), place) for place, token in enumerate(tokens, 1))


def from_file(file: BinaryIO, *, as_text: bool) -> Iterator[Given]:
    """IDs divided by line breaks and commas, without the space around them; or a JSON array.

    One in double quotes is a JSON string, and text whatever it looks like.
    """
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[type-var]
    is_array = buffered.peek(1).lstrip(_BLANK).startswith(b"[")
    with _text(buffered) as text:
        if is_array:
            for element, line in read_array(text):
                yield (_number_as_text(element) if as_text else element), line
        else:
            yield from _from_lines(text, as_text=as_text)


def from_csv(file: BinaryIO, *, column: str, delimiter: str, as_text: bool) -> Iterator[Given]:
    """One ID a row, from the column of this name; none where it is empty."""
    with _text(file, newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            for token in _cells(reader, column):
                yield as_json(token, as_text=as_text), reader.line_num
        except csv.Error as error:
            raise Unusable(f"Line {reader.line_num} is not CSV: {error}.") from error
        except UnicodeDecodeError as error:
            raise _not_utf8(reader.line_num) from error


def as_json(token: str, *, as_text: bool) -> str:
    """An integer where it is written as JSON writes one and has at most 64 bits, else a string."""
    if not as_text and _INTEGER.fullmatch(token) and _LEAST <= int(token) <= _MOST:
        return token
    return json.dumps(token)


def _from_lines(lines: TextIO, *, as_text: bool) -> Iterator[Given]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            token = line.strip()
            if token and "," not in token and token[0] != '"':
                yield as_json(token, as_text=as_text), number  # most are so, and this is quick
                continue
            for text in _listed(token, number, as_text=as_text):
                yield text, number
    except UnicodeDecodeError as error:
        raise _not_utf8(number) from error


def _listed(line: str, number: int, *, as_text: bool) -> Iterator[str]:
    place = 0
    while place < len(line):
        found = _LISTED.match(line, place)
        if found is None:
            raise _no_text_in_quotes(number)
        if found[1]:
            yield _unquoted(found[1], number)
        elif found[2]:
            yield as_json(found[2].strip(), as_text=as_text)
        place = found.end()


def _unquoted(quoted: str, number: int) -> str:
    try:
        return json.dumps(json.loads(quoted))
    except ValueError:
        raise _no_text_in_quotes(number) from None


def _no_text_in_quotes(number: int) -> Unusable:
    return Unusable(
        f'Line {number}: text in double quotes is written as in JSON, like "a,b",'
        " and a comma or a line break follows it."
    )


def _number_as_text(element: str) -> str:
    # The rest is no ID either way, and the service says so.
    return json.dumps(element) if element[0] in "-0123456789" else element


@contextmanager
def _text(file: BinaryIO, newline: str | None = None) -> Iterator[TextIO]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline=newline)
    try:
        yield text
    finally:
        # The file is not ours to close, and may be closed by now.
        with suppress(ValueError):
            text.detach()


def _cells(reader: Iterator[list[str]], column: str) -> Iterator[str]:
    index = _index_of(column, next(reader, []))
    for row in reader:
        token = row[index].strip() if index < len(row) else ""
        if token:
            yield token


def _index_of(column: str, names: list[str]) -> int:
    try:
        return names.index(column)
    except ValueError:
        raise Unusable(f"There is no column {column!r}; there are: {', '.join(names)}.") from None


def _not_utf8(line: int) -> Unusable:
    return Unusable(f"The input is not UTF-8, somewhere after line {line}.")
