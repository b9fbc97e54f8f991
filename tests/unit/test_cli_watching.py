"""Following work: how often it is asked for, what silence does, what is written where."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from ingest_app.cli.bars import WorkBars
from ingest_app.cli.following import PATIENCE_SECONDS, Snapshot, follow
from ingest_app.cli.views import JsonView, LineView
from ingest_app.client import Client
from ingest_app.errors import RequestFailed

NO_ANSWER = RequestFailed("No answer.")
Shown = Callable[[], list[str]]
COUNTS = {"yet_to_start": 0, "triggered": 0, "completed": 0, "failed": 0, "cancelled": 0}


def entry(status: str = "triggered", **facts: Any) -> Any:
    counts = {**COUNTS, **facts.pop("counts", {})}
    return {"ingestion_id": "a", "status": status, "counts": counts, "batch_count": 3, **facts}


def forecast(**facts: Any) -> Any:
    known = {"finishes_at": "2026-03-01T12:00:00.0Z", "remaining_seconds": 10.0}
    return {"pace_seconds": 5.0, "waits_for": None, "approximate": False, **known, **facts}


class FakeService:
    """Answers with these entries in turn, or raises; time passes when it is slept."""

    def __init__(self, *turns: Any) -> None:
        self._turns = list(turns)
        self.now = 0.0
        self.silences: list[float] = []

    def ingestion(self, _: str) -> Any:
        turn = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
        if isinstance(turn, Exception):
            raise turn
        return turn

    def forecast(self, _: str) -> Any:
        return forecast()

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def follow(self, *ids: str) -> list[str]:
        """The states that were seen, until the end."""
        found = follow(
            cast(Client, self),
            ids,
            tell_silence=lambda _: self.silences.append(self.now),
            interval_seconds=1.0,
            sleep=self.sleep,
            monotonic=lambda: self.now,
        )
        return [snapshot.entry["status"] for snapshot in found]


def test_it_is_asked_for_until_it_has_ended() -> None:
    service = FakeService(entry(), entry(), entry("completed"))
    assert service.follow("a") == ["triggered", "triggered", "completed"]
    assert service.now == 2.0


def test_each_of_several_is_asked_for_until_it_has_ended_and_twice_named_is_once() -> None:
    service = FakeService(entry("failed"), entry(), entry("completed"))
    assert service.follow("a", "b", "a") == ["failed", "triggered", "completed"]


def test_silence_that_ends_is_told_and_survived() -> None:
    service = FakeService(entry(), NO_ANSWER, NO_ANSWER, entry("completed"))
    assert service.follow("a") == ["triggered", "completed"]
    assert service.silences == [1.0, 2.0]


def test_silence_that_lasts_is_raised() -> None:
    service = FakeService(entry(), NO_ANSWER)
    with pytest.raises(RequestFailed):
        service.follow("a")
    assert service.now == pytest.approx(PATIENCE_SECONDS + 1)


def test_refusal_is_raised_at_once() -> None:
    service = FakeService(RequestFailed("There is none.", status=404))
    with pytest.raises(RequestFailed):
        service.follow("a")
    assert (service.now, service.silences) == (0.0, [])


def test_lines_are_few_and_the_last_always_comes(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with LineView(lambda: now) as view:
        for number in range(3):
            now = float(number)
            view.show(Snapshot(entry(counts={"completed": number}), forecast()))
        now = 12.0
        view.show(Snapshot(entry(counts={"completed": 2}), forecast()))
        view.show(Snapshot(entry("completed", counts={"completed": 3}, id_count=7), forecast()))
    assert [line.partition(";")[0] for line in capsys.readouterr().out.splitlines()] == [
        "a 0 of 3 batches ended",
        "a 2 of 3 batches ended",
        "a completed: 3 batches, 7 IDs.",
    ]


@pytest.mark.parametrize(
    ("known", "words"),
    [
        pytest.param({}, "a batch every 5.0 s, done 2026-03-01", id="known"),
        pytest.param({"approximate": True}, "done about 2026-03-01", id="about"),
        pytest.param({"pace_seconds": None}, "; done 2026-03-01", id="without a pace"),
        pytest.param(
            {"finishes_at": None, "waits_for": "Paused."}, "; Paused.", id="paused: not known"
        ),
    ],
)
def test_line_says_when_it_will_be_done(
    known: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    LineView().show(Snapshot(entry(), forecast(**known)))
    assert words in capsys.readouterr().out


def test_json_has_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonView()
    for count in (0, 1, 1, 2):
        view.show(Snapshot(entry(counts={"completed": count}), forecast()))
    view.tell_silence(NO_ANSWER)
    captured = capsys.readouterr()
    told = [json.loads(line)["counts"]["completed"] for line in captured.out.splitlines()]
    assert told == [0, 1, 2]
    assert captured.err == "No answer. Trying again.\n"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    monkeypatch.setenv("COLUMNS", "120")
    return lambda: [line.rstrip() for line in capsys.readouterr().err.splitlines()]


def test_bars_tell_silence_before_anything_is_known(shown: Shown) -> None:
    with WorkBars(["a", "b", "a"]) as view:
        view.tell_silence(NO_ANSWER)
    first, second = shown()
    assert first.startswith("a ")
    assert second.startswith("b ")
    assert first.endswith("Trying again: No answer.")


def test_bars_tell_silence_of_what_has_not_ended_alone(shown: Shown) -> None:
    with WorkBars(["a", "b"]) as view:
        view.show(Snapshot(entry("completed", counts={"completed": 3}, id_count=7), forecast()))
        view.tell_silence(NO_ANSWER)
    first, second = shown()
    assert first.endswith("100% 3/3 completed")
    assert second.endswith("Trying again: No answer.")


def test_bar_forgets_silence_when_there_is_an_answer(shown: Shown) -> None:
    with WorkBars(["a"]) as view:
        view.tell_silence(NO_ANSWER)
        view.show(Snapshot(entry(counts={"completed": 1}), forecast()))
    (only,) = shown()
    assert " 33% 1/3 one in 5.0 s, done " in only


def test_bars_take_no_orders_for_the_terminal(shown: Shown) -> None:
    order = "\x1b]0;x\x07\x9b2J\n\u2028end"
    with WorkBars([f"a{order}"]) as view:
        view.tell_silence(RequestFailed(f"No answer. {order}"))
        asked = entry(ingestion_id=f"b{order}")
        view.show(Snapshot(asked, forecast(finishes_at=None, waits_for=f"Paused. {order}")))
        failed = entry("failed", ingestion_id=f"c{order}", counts={"failed": 3})
        view.show(Snapshot(failed, forecast()))
    lines = shown()
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)
    assert [line.count("?]0;x??2J end") for line in lines] == [2, 2, 1]
