"""The other commands, on what has become of work that was handed over."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from ingest_app.cli import main
from ingest_app.cli.watch import watch_all
from ingest_app.client import Client
from ingest_app.client_answers import Entry, Forecast, SourceState
from tests.support.adapters import BreakingOff, Said, Scripted
from tests.support.answers import answer
from tests.support.queues import Queue

from .conftest import Run, runner_of


def values(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def completed(queue: Queue) -> str:
    ingestion_id = queue.submit([1, "=2"])
    queue.complete(queue.claim())
    return ingestion_id


@pytest.fixture
def failed(queue: Queue) -> str:
    ingestion_id = queue.submit([1, 2, 3, 4, 5])
    queue.fail(queue.claim())
    queue.complete(queue.claim())
    return ingestion_id


def test_status_tells_people_and_programs(run: Run, completed: str) -> None:
    shown = run("status", completed).stdout
    assert shown.startswith(f"{completed}  completed\n")
    assert "1 completed" in shown
    (told,) = values(run("status", completed, "--json").stdout)
    assert (told["status"], told["forecast"]["remaining_seconds"]) == ("completed", 0)


def test_forecast_says_what_is_before_it_and_why_it_waits(run: Run) -> None:
    run("submit", 1, 2, 3, "--source", "catalog")
    waiting = run("submit", 4, "--source", "catalog").stdout.strip()
    run("pause", "catalog")
    shown = run("forecast", waiting).stdout
    assert "1 batch of it, after 2 of others" in shown
    assert "once it goes on" in shown
    assert "Paused since" in shown
    assert values(run("forecast", waiting, "--json").stdout)[0]["finishes_at"] is None


def test_list_is_filtered_and_bounded(run: Run, completed: str, failed: str) -> None:
    def listed(*options: object) -> list[str]:
        return [entry["ingestion_id"] for entry in values(run("list", "--json", *options).stdout)]

    assert listed() == [failed, completed]
    assert listed("--status", "failed") == [failed]
    assert listed("--priority", "high") == []
    assert listed("--limit", 1) == [failed]
    assert listed("--all") == [failed, completed]


def test_list_for_people_is_a_table_and_says_how_to_begin(run: Run) -> None:
    empty = run("list")
    assert "ingest submit 1 2 3" in empty.stderr
    run("submit", "1")
    assert len(run("list").stdout.splitlines()) == 2
    assert "There may be more" in run("list", "--limit", 1).stderr
    assert "none like that" in run("list", "--status", "failed").stderr


def test_list_tells_when_what_has_ended_did(run: Run, completed: str) -> None:
    (entry,) = values(run("list", "--json").stdout)
    second = entry["last_completed_at"][:19].replace("T", " ")
    assert run("list").stdout.splitlines()[1].endswith(f"{second} UTC")
    assert entry["ingestion_id"] == completed


def test_cancel_and_retry(run: Run, failed: str) -> None:
    assert values(run("retry", failed, "--json").stdout)[0]["status"] == "triggered"
    assert "1 completed" in run("cancel", failed).stdout
    assert values(run("cancel", failed, "--json").stdout)[0]["status"] == "cancelled"


def test_sources_are_paused_and_resumed(run: Run) -> None:
    assert [state["name"] for state in values(run("sources", "--json").stdout)] == [
        "catalog",
        "default",
    ]
    assert "2 IDs every 5.0 s" in run("sources").stdout
    assert "Paused since" in run("pause", "catalog").stdout
    (state,) = values(run("resume", "catalog", "--json").stdout)
    assert state["paused_at"] is None


def test_sources_say_which_counts_are_estimates() -> None:
    state = answer(
        SourceState,
        interval_seconds=5.0,
        batch_size=3,
        waiting={"HIGH": 0, "MEDIUM": 1_000_000, "LOW": 2},
        waiting_is_estimated=True,
        in_flight_count=1,
    )
    network = Scripted(Said(200, b'{"sources": [' + state + b"]}"))
    heading, row = runner_of(network)("sources").stdout.splitlines()
    assert "  0     about 1,000,000  about 2  1 " in row
    assert heading.index("MEDIUM") == row.index("about")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["status", "x"], id="status"),
        pytest.param(["watch", "x"], id="watch"),
        pytest.param(["records", "x"], id="records"),
        pytest.param(["cancel", "x"], id="cancel"),
        pytest.param(["retry", "x"], id="retry"),
        pytest.param(["forecast", "x"], id="forecast"),
        pytest.param(["pause", "x"], id="source"),
    ],
)
def test_what_is_unknown_is_one_line_and_status_3(run: Run, arguments: list[str]) -> None:
    result = run(*arguments, "--json")
    assert (result.exit_code, result.stdout) == (3, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("ingest: There is no")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["status", "\udcff"], id="an id"),
        pytest.param(["watch", "\udcff"], id="ids"),
        pytest.param(["pause", "\udcff"], id="a source"),
        pytest.param(["list", "--source", "\udcff"], id="an option"),
    ],
)
def test_argument_that_is_not_utf8_is_one_line_and_status_2(arguments: list[str]) -> None:
    result = runner_of(Scripted())(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "ingest: '\\udcff' cannot be written in utf-8.\n"


def test_address_that_is_none_is_refused_by_both_of_its_names() -> None:
    result = runner_of(Scripted())("sources", env={"INGEST_URL": "localhost:8000"})
    assert (result.exit_code, "--url or INGEST_URL: It must be" in result.stderr) == (2, True)


def test_service_that_is_not_there_is_one_line_and_status_4() -> None:
    network = Scripted(*[requests.ConnectionError()] * 5)
    result = runner_of(network)("sources")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (4, "", 1)


@pytest.mark.parametrize("command", ["status", "forecast", "records", "cancel", "retry"])
def test_what_is_not_the_service_is_one_line_and_status_4(command: str) -> None:
    result = runner_of(Scripted(*[Said(200, b'{"x": 1}')] * 2))(command, "x")
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (4, "", 1)
    assert "is not this service, by its answer" in result.stderr


def test_times_that_no_calendar_has_are_shown_as_they_are() -> None:
    known = [answer(Entry, created_at="9999-12-31T23:59:59-23:00"), answer(Forecast)]
    shown = runner_of(Scripted(*[Said(200, body) for body in known]))("status", "x")
    assert (shown.exit_code, "9999-12-31T23:59:59-23:00" in shown.stdout) == (0, True)


def test_records_go_to_standard_output_or_a_file(run: Run, completed: str, tmp_path: Path) -> None:
    shown = run("records", completed).stdout
    assert [record["id"] for record in values(shown)] == [1, "=2"]
    path = tmp_path / "records.ndjson"
    assert run("records", completed, "-o", path).exit_code == 0
    assert path.read_text() == shown
    told = values(run("records", completed, "-o", path, "--format", "csv", "--json").stdout)
    assert told == [{"path": str(path), "byte_count": path.stat().st_size}]
    assert path.read_bytes().startswith(b"position,id,")
    nowhere = run("records", completed, "-o", tmp_path / "no" / "records.csv")
    assert (nowhere.exit_code, nowhere.stderr) == (
        2,
        f"ingest: There is no folder {tmp_path}/no.\n",
    )


def test_records_of_one_outcome(run: Run, failed: str) -> None:
    outcomes = [record["outcome"] for record in values(run("records", failed).stdout)]
    assert outcomes == ["error"] * 3 + ["fetched"] * 2
    (only,) = {
        record["outcome"] for record in values(run("records", failed, "--outcome", "error").stdout)
    }
    assert only == "error"


def test_records_so_far_are_said_to_be_so(run: Run, queue: Queue) -> None:
    ingestion_id = queue.submit([1, 2, 3, 4])
    queue.complete(queue.claim())
    result = run("records", ingestion_id)
    assert len(values(result.stdout)) == 3
    assert "1 batch had not ended" in result.stderr


def test_records_that_break_off_leave_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson"
    path.write_text("what was there\n")
    network = Scripted(Said(200, answer(Entry)), Said(200, BreakingOff(b'{"position":1}\n')))
    result = runner_of(network)("records", "x", "-o", path)
    assert result.exit_code == 4
    assert "broke off" in result.stderr
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [
        ("records.ndjson", "what was there\n")
    ]


class Signalling(BreakingOff):
    """A body at whose end the command is told to end."""

    def read(self, size: int | None = -1) -> bytes:
        read = io.BytesIO.read(self, size)
        if not read:
            signal.raise_signal(signal.SIGTERM)
        return read


def test_records_that_a_signal_ends_leave_nothing(tmp_path: Path) -> None:
    network = Scripted(Said(200, answer(Entry)), Said(200, Signalling(b'{"position":1}\n')))
    result = runner_of(network)("records", "x", "-o", tmp_path / "records.ndjson")
    assert (result.exit_code, [*tmp_path.iterdir()]) == (130, [])


@pytest.mark.parametrize("is_there", [True, False])
def test_records_are_written_through_a_link(
    run: Run, completed: str, tmp_path: Path, is_there: bool
) -> None:
    (tmp_path / "below").mkdir()
    link, target = tmp_path / "link", tmp_path / "below" / "records"
    if is_there:
        target.write_text("what was there\n")
    link.symlink_to(Path("below", "records"))
    assert run("records", completed, "-o", link).exit_code == 0
    assert (link.is_symlink(), len(values(target.read_text()))) == (True, 2)
    assert [file.name for file in target.parent.iterdir()] == ["records"]


def test_records_take_the_longest_name_there_is(run: Run, completed: str, tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    assert run("records", completed, "-o", path).exit_code == 0
    assert len(values(path.read_text())) == 2


def test_records_take_a_name_that_is_not_utf8(run: Run, completed: str, tmp_path: Path) -> None:
    result = run("records", completed, "-o", tmp_path / "\udcff")
    assert (result.exit_code, result.stdout.startswith(f"{tmp_path}/?: ")) == (0, True)


def test_records_are_not_csv_and_json_at_once(run: Run, completed: str) -> None:
    assert run("records", completed, "--format", "csv", "--json").exit_code == 2


@pytest.mark.parametrize(
    ("become", "status", "words"),
    [
        pytest.param(lambda queue: queue.complete(queue.claim()), 0, "completed", id="completed"),
        pytest.param(lambda queue: queue.fail(queue.claim()), 1, "ingest retry", id="failed"),
        pytest.param(lambda _: None, 5, "cancelled", id="cancelled"),
    ],
)
def test_watch_ends_with_what_became_of_the_work(
    run: Run, queue: Queue, become: Callable[[Queue], None], status: int, words: str
) -> None:
    ingestion_id = queue.submit()
    become(queue)
    run("cancel", ingestion_id)
    result = run("watch", ingestion_id)
    assert result.exit_code == status
    assert words in result.stdout


def test_watch_of_several_ends_with_the_worst(run: Run, completed: str, failed: str) -> None:
    result = run("watch", failed, completed, "--json")
    assert result.exit_code == 1
    assert [told["status"] for told in values(result.stdout)] == ["failed", "completed"]


def test_watching_ends_at_ctrl_c_and_says_that_the_work_goes_on() -> None:
    network = Scripted(KeyboardInterrupt())
    result = runner_of(network)("watch", "a", "b")
    assert (result.exit_code, result.stdout) == (130, "")
    assert "the work goes on. Come back with: ingest watch a b" in result.stderr


def test_submit_watches_when_told(run: Run, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    def complete_first(client: Client, ids: list[str], **more: Any) -> int:
        queue.complete(queue.claim())
        return watch_all(client, ids, **more)

    monkeypatch.setattr("ingest_app.cli.submit.watch_all", complete_first)
    result = run("submit", "1", "--watch")
    assert result.exit_code == 0
    assert "completed: 1 batch, 1 ID." in result.stdout


def test_ids_of_ingestions_are_completed_in_the_shell(run: Run, completed: str) -> None:
    words = {"_INGEST_COMPLETE": "zsh_complete", "COMP_WORDS": "ingest status ", "COMP_CWORD": "2"}
    result = run(prog_name="ingest", complete_var="_INGEST_COMPLETE", env=words)
    assert completed in result.stdout.splitlines()


def test_completion_without_the_service_is_none() -> None:
    words = {"_INGEST_COMPLETE": "zsh_complete", "COMP_WORDS": "ingest status ", "COMP_CWORD": "2"}
    run = runner_of(Scripted(*[requests.ConnectionError()] * 5))
    result = run(prog_name="ingest", complete_var="_INGEST_COMPLETE", env=words)
    assert (result.exit_code, result.stdout.strip()) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(run: Run, shell: str) -> None:
    assert "_INGEST_COMPLETE" in run("completion", shell).stdout


def test_help_lists_every_command_and_every_exit_status(run: Run) -> None:
    shown = run("--help").stdout
    assert all(f"\n  {name} " in shown for name in main.list_commands(None))
    assert all(f"\n    {status} " in shown for status in (0, 1, 2, 3, 4, 5, 130))


def test_every_command_has_help(run: Run) -> None:
    for name in main.list_commands(None):
        assert run(name, "--help").exit_code == 0, name


def test_unknown_command_is_one_line_and_status_2(run: Run) -> None:
    result = run("frobnicate")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_address_may_be_given() -> None:
    network = Scripted(Said(200, b'{"sources": []}'))
    runner_of(network)("sources", "--json", "--url", "http://other.test")
    assert network.requests[0].url == "http://other.test/sources"


def test_cancel_and_retry_say_when_there_was_nothing_to_do(
    run: Run, completed: str, failed: str
) -> None:
    assert "None of its batches waited." in run("cancel", completed).stderr
    assert "None of its batches had failed." in run("retry", completed).stderr
    assert run("retry", failed).stderr == ""
    assert run("cancel", failed).stderr == ""
