"""A command that only asks is there at once: it does not import the service, nor what draws."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("alembic", "apscheduler", "flask", "marshmallow", "rich", "sqlalchemy")


def imported(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_commands_that_ask_import_neither_service_nor_bars() -> None:
    modules = "ingest_app.cli.status, ingest_app.cli.submit, ingest_app.cli.records"
    assert imported(modules).isdisjoint(HEAVY)


def test_commands_of_the_operator_do_when_they_run() -> None:
    # The negative control of the test above.
    assert imported("ingest_app.cli.verify_report").issuperset({"rich", "sqlalchemy"})
