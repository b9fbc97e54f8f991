"""A real table: the world's languages as ISO 639-3 names them, from the package `pycountry`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path

Row = dict[str, str | None]

KEY = "alpha_3"
TABLE = "languages"


def languages() -> dict[str, Row]:
    """The table's rows by their keys, some 7,900, each with all of its columns."""
    listed = _listed()
    columns = _columns(listed)
    return {row[KEY]: {column: row.get(column) for column in columns} for row in listed}


def write_table(path: Path) -> None:
    """Put the table into a new SQLite file."""
    rows = languages().values()
    columns = _columns(_listed())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE {TABLE} ({', '.join(columns)}, PRIMARY KEY ({KEY}))")
        values = ", ".join(f":{column}" for column in columns)
        connection.executemany(f"INSERT INTO {TABLE} VALUES ({values})", rows)


def _listed() -> list[dict[str, str]]:
    listed = files("pycountry") / "databases" / "iso639-3.json"
    return list(json.loads(listed.read_text(encoding="utf-8"))["639-3"])


def _columns(listed: list[dict[str, str]]) -> list[str]:
    return sorted({column for row in listed for column in row})
