"""What commands write: answers on standard output, remarks on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

import click

from ingest_app.clock import instant

_CONTROLS = {code: "?" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def harmless(text: str) -> str:
    """The text without what steers a terminal or is no UTF-8: anybody may have written it."""
    return text.translate(_CONTROLS).encode(errors="replace").decode()


def say(text: str) -> None:
    """A part of the answer."""
    click.echo(harmless(text))


def note(text: str) -> None:
    """A remark, which is no part of the answer."""
    click.echo(harmless(text), err=True)


def print_json(value: object) -> None:
    """The answer for programs, on one line."""
    click.echo(json.dumps(value, separators=(",", ":")))


def print_entry(entry: object) -> None:
    """The fields of a dataclass, for programs; its times as the API has them."""
    print_json(
        {
            name: instant(value) if isinstance(value, datetime) else value
            for name, value in vars(entry).items()
        }
    )


def print_facts(facts: Mapping[str, str | None]) -> None:
    """One line each with its name before it; what is None is left out."""
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        if value is not None:
            say(f"  {name:<{width}}  {value}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows beneath their headings, as wide as they are; headings are bold on a terminal."""
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    say_line(columns, widths, is_bold=True)
    for row in rows:
        say_line(row, widths)


def say_line(cells: Sequence[str], widths: Sequence[int], *, is_bold: bool = False) -> None:
    """One row of a table."""
    text = "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    click.secho(harmless(text.rstrip()), bold=is_bold or None)


def shows_progress() -> bool:
    """True when a person sees standard error, so that something may move there."""
    return sys.stderr.isatty()
