"""The running service does what its OpenAPI document says; schemathesis makes the requests up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest_app.access.keys import create_key
from ingest_app.clock import SystemClock
from ingest_app.states import Role
from tests.support.queues import opened
from tests.support.service import Service, gunicorn, instance_path, running

pytestmark = pytest.mark.contract

# gunicorn refuses long request lines and headers (414, 431) before the application sees them, with
# pages of its own; without these limits such requests test the application.
COMMAND = gunicorn(
    *("--workers", "2", "--preload"),
    *("--limit-request-line", "0", "--limit-request-field_size", "0"),
)
# A small limit, so that requests reach it and exceed it.
SETTINGS = {"interval_seconds": 0.05, "simulated_latency_seconds": 0, "max_ids": 20}
ROOT = str(Path(__file__).resolve().parents[2])
PHASES = ("Examples", "Coverage", "Fuzzing", "Stateful")
LONGEST_RUN_SECONDS = 900


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder: Path = tmp_path_factory.mktemp("service")
    instance_path(folder).mkdir()
    (instance_path(folder) / "ingest.toml").write_text("[sources.catalog]\n")
    with running(folder, COMMAND, **SETTINGS) as service:
        yield service


def test_open_service_keeps_to_its_document_under_all_checks(
    service: Service, tmp_path: Path
) -> None:
    check(service, tmp_path, example_count=60)


def test_closed_service_does_so_for_a_submitter(service: Service, tmp_path: Path) -> None:
    with opened(service.database) as database:
        key = create_key(database, "contract", Role.SUBMITTER, clock=SystemClock())
    header = f"Authorization: Bearer {key.text}"
    check(service, tmp_path, "--header", header, example_count=30)
    with opened(service.database) as database, database.read() as connection:
        count = "SELECT count(*) FROM ingestions WHERE submitted_by = 'contract'"
        assert connection.exec_driver_sql(count).scalar_one() > 0


def check(service: Service, folder: Path, *more: str, example_count: int) -> None:
    """Let schemathesis make requests up, in all its ways."""
    ended = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{service.url}/openapi.json",
            "--checks=all",
            f"--phases={','.join(PHASES).lower()}",
            f"--max-examples={example_count}",
            "--generation-deterministic",
            "--continue-on-failure",
            "--request-timeout=30",
            "--no-color",
            *more,
        ],
        cwd=folder,  # it writes files there
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.support.unique_keys", "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        timeout=LONGEST_RUN_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    # In the stateful phase it asks for the status of what it has submitted; without, only 404s.
    assert [phase for phase in PHASES if f"✅ {phase}" not in ended.stdout] == [], ended.stdout
    assert "Traceback" not in service.log
    assert service.ledger().violations() == []
