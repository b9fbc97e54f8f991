"""Where a command takes IDs from: the options for it, and what the user gave with them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, BinaryIO

import click

from ingest_app.cli.ids import Given, from_arguments, from_csv, from_file
from ingest_app.cli.options import Command

_NO_DELIMITERS = '\r\n"'


@dataclass(frozen=True)
class IdInput:
    """One way to give IDs; ids: the arguments, of which a single "-" is standard input."""

    ids: Sequence[str]
    file: str | None
    csv: str | None
    column: str | None
    delimiter: str
    as_text: bool

    def __post_init__(self) -> None:
        """Refuse none and two ways (UsageError)."""
        if sum(map(bool, (self.ids, self.file, self.csv))) != 1:
            raise click.UsageError("Give IDs one way: as arguments, with --file, with --csv, or -.")
        if (self.csv is None) != (self.column is None):
            raise click.UsageError("--csv and --column go together.")

    @property
    def noun(self) -> str:
        """What an ID stands on."""
        return "argument" if self._are_arguments else "line"

    @contextmanager
    def opened(self) -> Iterator[Iterator[Given]]:
        """The IDs, one at a time (OSError, Unusable)."""
        if self._are_arguments:
            yield from_arguments(self.ids, as_text=self.as_text)
            return
        with _opened(self.file or self.csv or "-") as file:
            yield self._from(file)

    @property
    def _are_arguments(self) -> bool:
        return bool(self.ids) and self.ids != ("-",)

    def _from(self, file: BinaryIO) -> Iterator[Given]:
        if self.column is None:
            return from_file(file, as_text=self.as_text)
        return from_csv(file, column=self.column, delimiter=self.delimiter, as_text=self.as_text)


def takes_ids(command: Command) -> Command:
    """Give a command the ways to give IDs, and call it with `given`, an IdInput."""

    @click.argument("ids", nargs=-1, metavar="[ID]...")
    @click.option(
        "--file",
        "-f",
        metavar="FILE",
        help="IDs in lines or between commas, or a JSON array; - is standard input.",
    )
    @click.option("--csv", metavar="FILE", help="CSV with a header, together with --column.")
    @click.option("--column", metavar="NAME", help="The column that has the IDs.")
    @click.option(
        "--delimiter",
        default=",",
        show_default=True,
        callback=_check_delimiter,
        help="What divides the columns: a character, or \\t for a tab.",
    )
    @click.option("--text", "as_text", is_flag=True, help="Every ID is a string, of digits too.")
    @functools.wraps(command)
    def run(**options: Any) -> int | None:
        given = IdInput(**{field.name: options.pop(field.name) for field in fields(IdInput)})
        return command(given=given, **options)

    return run


def _check_delimiter(_: click.Context, __: click.Parameter, delimiter: str) -> str:
    found = "\t" if delimiter == "\\t" else delimiter
    if len(found) != 1 or found in _NO_DELIMITERS:
        raise click.BadParameter(
            "one character, no line break and no double quote, or \\t for a tab."
        )
    return found


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
    else:
        with open(path, "rb") as file:
            yield file
