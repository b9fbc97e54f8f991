"""`ingest webhooks`, on the database that the settings name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingest_app.cli import main
from ingest_app.queue.control import cancel_ingestion
from ingest_app.queue.deliveries import claim_delivery, give_up, mark_delivered
from ingest_app.queue.endpoints import keep_endpoint
from ingest_app.settings import SourceSettings
from ingest_app.webhook_settings import new_secret, signing_keys
from tests.support.clocks import FakeClock
from tests.support.queues import Queue, opened

ERROR = "HTTP 500 Internal Server Error."


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INGEST_INSTANCE_PATH", str(tmp_path / "instance"))
    return tmp_path / "instance"


@pytest.fixture
def queue(folder: Path, migrated_file: Path, clock: FakeClock) -> Iterator[Queue]:
    """Three ends: the first was delivered, the second given up, the third waits."""
    folder.mkdir()
    shutil.copyfile(migrated_file, folder / "ingest.db")
    with opened(folder / "ingest.db") as database:
        queue = Queue(database, SourceSettings(), clock)
        keep_endpoint(database, is_wanted=True, clock=clock)
        for _ in range(3):
            clock.move(1)
            cancel_ingestion(database, queue.submit(), clock=clock)
        first, second = (claim_delivery(database, clock=clock) for _ in range(2))
        mark_delivered(database, first, clock=clock)
        give_up(database, second, error=ERROR, jitter=0.0, clock=clock)
        yield queue


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["webhooks", *map(str, arguments)])


def listed() -> list[tuple[int, str]]:
    result = run("--json")
    assert result.exit_code == 0, result.output
    entries = map(json.loads, result.stdout.splitlines())
    return [(entry["delivery_id"], entry["state"]) for entry in entries]


@pytest.mark.usefixtures("queue")
def test_deliveries_are_listed_newest_first() -> None:
    assert listed() == [(3, "waiting"), (2, "given_up"), (1, "delivered")]
    shown = run("--limit", 2).stdout.splitlines()
    assert len(shown) == 3
    assert shown[0].split()[:2] == ["DELIVERY", "INGESTION"]
    assert ("given up" in shown[2], ERROR in shown[2]) == (True, True)


@pytest.mark.usefixtures("queue")
def test_json_has_times_as_the_api_has_them() -> None:
    entry = json.loads(run("--json", "--limit", 1).stdout)
    assert entry["ended_at"] == "2026-03-01T12:00:03.000000Z"
    assert (entry["delivered_at"], entry["attempt_count"]) == (None, 0)


@pytest.mark.parametrize("which", [["2"], ["--given-up"]])
def test_what_was_given_up_is_sent_again(queue: Queue, which: list[str]) -> None:
    assert json.loads(run("resend", *which, "--json").stdout) == {"resent": 1}
    assert listed() == [(3, "waiting"), (2, "waiting"), (1, "delivered")]
    attempts = "SELECT attempt_count, last_error FROM webhook_deliveries WHERE id = 2"
    assert queue.rows(attempts) == [(0, None)]


@pytest.mark.usefixtures("queue")
def test_delivered_is_sent_again_only_by_its_number() -> None:
    assert run("resend", 1).stdout.startswith("To be sent again: 1;")
    assert listed()[-1] == (1, "waiting")


@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize(
    ("which", "told"),
    [
        pytest.param([], "Name deliveries, or say --given-up.", id="nothing named"),
        pytest.param([1, "--given-up"], "Name deliveries, or say --given-up.", id="both"),
        pytest.param([7], "There is no delivery 7.", id="not there"),
    ],
)
def test_what_cannot_be_sent_again_is_one_line(which: list[object], told: str) -> None:
    result = run("resend", *which)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert told in result.stderr


def test_without_an_endpoint_nothing_is_sent_again(queue: Queue) -> None:
    keep_endpoint(queue.database, is_wanted=False, clock=queue.clock)
    result = run("resend", "--given-up")
    assert (result.exit_code, "set webhook_url" in result.stderr) == (2, True)


def test_without_a_database_there_is_nothing_to_list(folder: Path) -> None:
    result = run()
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("revision", "helps"),
    [("0003", "ingest db upgrade"), ("9999", "install the version that wrote it")],
)
def test_database_of_another_version_is_left_alone(queue: Queue, revision: str, helps: str) -> None:
    queue.change("UPDATE alembic_version SET version_num = :it", it=revision)
    result = run()
    assert (result.exit_code, helps in result.stderr) == (2, True)
    assert ("ingest db upgrade" in result.stderr) is (revision == "0003")


def test_secret_is_a_new_one_each_time() -> None:
    first, second = run("secret").stdout.strip(), run("secret").stdout.strip()
    assert first != second
    assert len(signing_keys(f"{first} {second}")) == 2


def test_commands_do_not_change_who_is_told(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_endpoint(queue.database, is_wanted=False, clock=queue.clock)
    monkeypatch.setenv("INGEST_WEBHOOK_URL", "https://hooks.example/")
    monkeypatch.setenv("INGEST_WEBHOOK_SECRET", new_secret())
    for command in (["webhooks"], ["verify"], ["db", "upgrade"]):
        assert CliRunner().invoke(main, command).exit_code == 0
    assert queue.rows("SELECT * FROM webhook_endpoints") == []
