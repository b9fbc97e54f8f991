"""What `ingest settings` prints; apart, because what it needs takes a second to import."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ingest_app.application import check_settings
from ingest_app.cli.output import note, say
from ingest_app.environment import unknown_settings
from ingest_app.processes import bind
from ingest_app.setting_reference import Section, Setting, reference

_BEGINNING = """\
# Settings

Generated from the code by `ingest settings --markdown`; `ingest settings` shows the same in a
terminal.

The environment comes before `ingest.toml`, and that before the defaults; what a `[sources.NAME]`
section sets itself stays. Any key of such a section can be set in the environment, too:
`INGEST_SOURCES__NAME__KEY`. What the service cannot run with stops it at the start with a message
that names the setting, and so does an unknown name in the file; an unknown variable is only warned
of. `ingest settings --check` says beforehand whether it could start.
"""


def check() -> None:
    """Say that the settings can be used, and which are none (SettingsError)."""
    check_settings()
    for name in unknown_settings():
        note(f"{name} is no setting: the service leaves it aside.")
    say(f"The service can start with these settings, at {bind()}.")


def print_markdown() -> None:
    """Print docs/settings.md."""
    say(_BEGINNING)
    say("\n".join(map(_as_markdown, reference(("http", "simulated")))).rstrip())


def print_tables() -> None:
    """Print a table for each place where settings are set, as wide as the terminal."""
    console = Console(highlight=False)
    for section in reference():
        console.print(Text(section.title, style="bold"))
        console.print(_plain(section.where))
        console.print(_as_table(section.settings))


def _as_markdown(section: Section) -> str:
    rows = [
        ("key", "variable", "takes", "default", ""),
        ("---",) * 5,
        *(
            (_code(one.key), _code(one.variable), one.takes, one.default, one.says)
            for one in section.settings
        ),
    ]
    # A column in which nobody has anything is left out.
    filled = [column for column in zip(*rows, strict=True) if any(column[2:])]
    lines = "\n".join(_line(cells) for cells in zip(*filled, strict=True))
    return f"## {section.title}\n\n{section.where}\n\n{lines}\n"


def _line(cells: Sequence[str]) -> str:
    return re.sub(r" +", " ", f"| {' | '.join(cells)} |")


def _code(name: str | None) -> str:
    return f"`{name}`" if name else ""


def _as_table(settings: Sequence[Setting]) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(ratio=2)
    table.add_column(ratio=3)
    for one in settings:
        names = "\n".join(name for name in (one.key, one.variable) if name)
        table.add_row(Text(names), Text(f"{one.takes}\ndefault: {one.default}"), _plain(one.says))
    return table


def _plain(told: str) -> Text:
    return Text(f"{told.replace('`', '')}\n")
