"""The table of routes and roles, made from an application; `python -m tests.support.access_table`
prints it as docs/access.md has it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from flask import Flask

from ingest_app import create_app
from ingest_app.states import Role
from ingest_app.web.access import needed_roles, public_when

_AUTOMATIC = {"HEAD", "OPTIONS"}


class Route(NamedTuple):
    """What can be asked for, and who may; None for everybody.

    public_when: the setting that leaves it to everybody.
    """

    method: str
    rule: str
    endpoint: str
    needed: Role | None
    public_when: str | None = None

    @property
    def is_own(self) -> bool:
        """True when it is about one ingestion, which has an owner."""
        return "<ingestion_id>" in self.rule


def routes_of(app: Flask) -> list[Route]:
    """Every method of every rule, those that Flask adds too, in the order of their rules."""
    roles = needed_roles(app)
    found = [
        Route(
            method,
            rule.rule,
            rule.endpoint,
            roles[rule.endpoint],
            public_when(app, rule.endpoint),
        )
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    ]
    return sorted(found, key=lambda route: (route.rule, route.method))


def table_of(app: Flask) -> Iterator[str]:
    """The lines of the table in Markdown; what Flask adds to a route goes with it."""
    columns = ["everybody", *Role]
    yield f"| | {' | '.join(columns)} |"
    yield f"|{'---|' * (len(columns) + 1)}"
    for route in routes_of(app):
        if route.method not in _AUTOMATIC:
            cells = [_cell(route, None), *(_cell(route, role) for role in Role)]
            rule = route.rule.replace("<", "{").replace("path:", "").replace(">", "}")
            yield f"| `{route.method} {rule}` | {' | '.join(cells)} |"


def _cell(route: Route, role: Role | None) -> str:
    if route.needed is None:
        return "yes"
    if role is None and route.public_when is not None:
        return f"with `{route.public_when}`"
    if role is None or not role.includes(route.needed):
        return ""
    return "own" if route.is_own and role is not Role.OPERATOR else "yes"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = create_app({"instance_path": str(Path(folder)), "dispatch": False})
        print("\n".join(table_of(made)))
