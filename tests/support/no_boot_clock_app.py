"""The service on the wall clock alone: the fault that a test of set clocks has to find."""

from __future__ import annotations

from unittest import mock

from ingest_app import clock, create_app

mock.patch.object(clock, "_boot_id", return_value=None).start()
app = create_app()
