"""What is wrong with settings, in one line that names them as they were given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PREFIX = "INGEST_"
"""Of the environment's names for settings."""

_UNKNOWN = {
    "Unknown field.": "No such setting here; `ingest settings` lists all, and where each goes."
}
"""What is said instead: below a `[section]` nobody sees why a setting that exists is unknown."""

_Path = tuple[str, ...]


def variable_of(*path: str) -> str:
    """The environment's name for a setting; of a nested one, all names on the way to it."""
    return PREFIX + "__".join(path).upper()


def sentence(
    messages: Mapping[Any, Any], *, given: Mapping[str, Any], environ: Mapping[str, str]
) -> str:
    """All messages of a marshmallow ValidationError, each behind the name of its setting.

    given: the settings that came before the file's; those that `environ` sets are named after
        their variable, too.
    """
    return " ".join(
        f"{_name(path, given, environ)}: {_UNKNOWN.get(message, message)}"
        for path, message in _flat(messages)
    )


def _name(path: _Path, given: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    key = ".".join(path)
    for length in range(len(path), 0, -1):
        variable = _set_in(environ, path[:length])
        if variable and _has(given, path):
            return f"{variable} ({key})"
    return key


def _set_in(environ: Mapping[str, str], path: _Path) -> str | None:
    wanted = variable_of(*path)
    return next((name for name in environ if _as_read(name) == wanted), None)


def _as_read(name: str) -> str:
    # The prefix counts as it is written, the rest in any case.
    return PREFIX + name.removeprefix(PREFIX).upper() if name.startswith(PREFIX) else ""


def _has(given: Any, path: _Path) -> bool:
    for key in path:
        if not isinstance(given, Mapping) or key not in given:
            return False
        given = given[key]
    return True


def _flat(messages: Any, path: _Path = ()) -> Iterator[tuple[_Path, str]]:
    if isinstance(messages, Mapping):
        for key, value in messages.items():
            # marshmallow puts the two halves of a mapping's item under "key" and "value".
            is_half = key in ("key", "value") and bool(path)
            yield from _flat(value, path if is_half else (*path, str(key)))
    else:
        for message in messages:
            yield path, message
