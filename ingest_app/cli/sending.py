"""Hand parts over, one after the other, each under a key of its own: repeating it all is safe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ingest_app.cli.exits import Interrupted
from ingest_app.cli.output import shows_progress
from ingest_app.cli.parts import Part, Submission
from ingest_app.cli.refusals import explain
from ingest_app.client import Client
from ingest_app.errors import RequestFailed

_SHOWN_FROM_BYTES = 256 * 1024


@dataclass(frozen=True)
class Sender:
    """Sends parts to one service.

    members: what stands beside the IDs: priority, and source where one is named.
    key: names the whole; parts of several are named after it.
    """

    client: Client
    members: Mapping[str, str]
    key: str

    def send(self, part: Part) -> str:
        """Submit a part, and return the ingestion's id (RequestFailed, Interrupted)."""
        with _progress(part) as tell:
            try:
                submission = Submission(part, self.members, tell)
                return self.client.submit(submission, key=self.key_of(part))
            except RequestFailed as failure:
                advice = "" if failure.is_refusal else f" {self._advice}"
                raise explain(failure, part, advice) from failure
            except KeyboardInterrupt:
                raise Interrupted(f"interrupted. {self._advice}") from None

    def key_of(self, part: Part) -> str:
        """The key of a part."""
        return self.key if part.is_only else f"{self.key}-{part.number}"

    @property
    def _advice(self) -> str:
        return (
            "It may have been stored all the same: run the same command with"
            f" --key '{self.key}', and nothing is stored twice."
        )


@contextmanager
def _progress(part: Part) -> Iterator[Callable[[int], None]]:
    """Show how much has been sent, where a person looks and it takes a while."""
    if not shows_progress() or part.byte_count < _SHOWN_FROM_BYTES:
        yield lambda _: None
        return
    from ingest_app.cli.bars import upload_bar  # noqa: PLC0415 (rich takes longer than to send few)

    with upload_bar(f"{part.id_count:,} IDs", part.byte_count) as tell:
        yield tell
