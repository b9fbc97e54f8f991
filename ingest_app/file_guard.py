"""One file, the same for as long as the service has it open."""

from __future__ import annotations

from pathlib import Path

from ingest_app.errors import DatabaseUnavailable


class FileGuard:
    """Notices that the file was deleted or replaced under the service.

    Connections that are open would go on with the old file, where nobody finds what they store, and
    leave its log beside the new one, which damages it.
    """

    def __init__(self, path: Path) -> None:
        """Watch over the file at this path."""
        self._path = path
        self._known: tuple[int, int] | None = None

    def remember(self, *_: object) -> None:
        """A connection has opened the file."""
        self._known = self._known or self._present()

    def check(self, *_: object) -> None:
        """Raise DatabaseUnavailable unless the file that was opened is still there."""
        if self._known is not None and self._known != self._present():
            raise DatabaseUnavailable(
                f"The file {self._path} was deleted or replaced under the service; restart it."
            )

    def _present(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:  # or an address that is no plain path
            return None
        except OSError as error:  # a folder on the way is closed, or its disk does not answer
            raise DatabaseUnavailable(
                f"The file {self._path} cannot be reached: {error.strerror}."
            ) from error
        return found.st_dev, found.st_ino
