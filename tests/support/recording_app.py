"""The service with an upstream that keeps a list of its calls outside the database.

What the ledger says can be held against it. The file is named by the environment; see `calls`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from unittest import mock

from ingest_app import create_app
from ingest_app.items import FetchedRecord, ItemId
from ingest_app.sources.simulated import SimulatedSource
from tests.support.calls import CALLS_FILE

_fetch = SimulatedSource.fetch
# Whole lines even from several processes: one write each, at the file's end.
_file = os.open(os.environ[CALLS_FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def _recording_fetch(
    self: SimulatedSource, ids: Sequence[ItemId], start: Callable[[], None]
) -> Sequence[FetchedRecord]:
    def start_and_record() -> None:
        start()
        boot_seconds = time.clock_gettime(time.CLOCK_BOOTTIME)
        os.write(_file, f"{json.dumps([boot_seconds, list(ids)])}\n".encode())

    return _fetch(self, ids, start_and_record)


mock.patch.object(SimulatedSource, "fetch", _recording_fetch).start()
app = create_app()
