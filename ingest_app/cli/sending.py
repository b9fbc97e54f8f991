"""Hand parts over, one after the other, each under a key of its own: repeating it all is safe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from ingest_app.cli.exits import Interrupted
from ingest_app.cli.output import note, shows_progress
from ingest_app.cli.parts import Part, Submission
from ingest_app.cli.refusals import explain
from ingest_app.client import Client
from ingest_app.errors import RequestFailed

_SHOWN_FROM_BYTES = 256 * 1024


@dataclass(frozen=True)
class Sent:
    """A part that is stored; key: its own, which is not for --key."""

    ingestion_id: str
    part: Part
    key: str


@dataclass
class _Course:
    """How far sending came: ids of what is stored, how many parts were begun and told of."""

    stored: list[str] = field(default_factory=list)
    begun_count: int = 0
    told_count: int = 0


@dataclass(frozen=True)
class Sender:
    """Sends parts to one service.

    members: what stands beside the IDs: priority, and source where one is named.
    key: names the whole; the parts are named after it.
    """

    client: Client
    members: Mapping[str, str]
    key: str

    def send_all(self, parts: Iterable[Part], tell: Callable[[Sent], None]) -> list[str]:
        """Submit every part, and return the ingestions' ids (RequestFailed, Interrupted).

        tell: told of each part when it is stored. What else ends this has a note that says what is
        stored and how to go on.
        """
        course = _Course()
        try:
            for part in parts:
                course.begun_count = part.number
                if part.number == 1 and not part.is_only:
                    note(f"These are several submissions, all under the key {self.key}.")
                    note(f"To repeat or to go on, {self._safely}")
                sent = self._send(part)
                course.stored.append(sent.ingestion_id)
                tell(sent)
                course.told_count = part.number
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted. {self._account(course)}") from None
        except RequestFailed:
            raise  # which says it already
        except Exception as error:
            if course.begun_count:
                error.add_note(self._account(course))
            raise
        return course.stored

    def _send(self, part: Part) -> Sent:
        # With its number also where it is alone: what has grown since begins with the same part.
        key = f"{self.key}-{part.number}"
        with _progress(part) as tell:
            try:
                submission = Submission(part, self.members, tell)
                return Sent(self.client.submit(submission, key=key), part, key)
            except RequestFailed as failure:
                raise explain(failure, part, self._advice(failure, part)) from failure

    def _advice(self, failure: RequestFailed, part: Part) -> str:
        is_too_soon = failure.status == HTTPStatus.TOO_MANY_REQUESTS  # and not stored, it says
        if failure.is_refusal and part.number == 1:
            return ""
        if is_too_soon and part.number == 1:
            return f" Later, {self._safely}"
        is_in_doubt = failure.may_have_arrived and not failure.is_refusal and not is_too_soon
        return f" {self._so_far(part.number - 1, is_in_doubt=is_in_doubt)}"

    def _account(self, course: _Course) -> str:
        stored = course.stored
        said = self._so_far(len(stored), is_in_doubt=course.begun_count > len(stored))
        untold = f" The id of the last is {stored[-1]}." if course.told_count < len(stored) else ""
        return said + untold

    def _so_far(self, stored_count: int, *, is_in_doubt: bool) -> str:
        if stored_count:
            stored = "1 submission is" if stored_count == 1 else f"{stored_count:,} submissions are"
            doubt = ", and the next one may be" if is_in_doubt else ""
            return f"{stored} stored{doubt}. To go on, {self._safely}"
        if is_in_doubt:
            return f"It may have been stored all the same: {self._safely}"
        return "Nothing was sent."

    @property
    def _safely(self) -> str:
        # In quotes also where a shell needs none: what ends the key has to be seen.
        quoted = "'{}'".format(self.key.replace("'", r"'\''"))
        return f"run the same command with --key {quoted}, and nothing is stored twice."


@contextmanager
def _progress(part: Part) -> Iterator[Callable[[int], None]]:
    """Show how much has been sent, where a person looks and it takes a while."""
    if not shows_progress() or part.byte_count < _SHOWN_FROM_BYTES:
        yield lambda _: None
        return
    from ingest_app.cli.bars import upload_bar  # noqa: PLC0415 (rich takes longer than to send few)

    with upload_bar(f"{part.id_count:,} IDs", part.byte_count) as tell:
        yield tell
