"""Sources of kind "http" as a test wants them."""

from __future__ import annotations

from typing import Any

from marshmallow import RAISE

from ingest_app.settings import SourceSettings
from ingest_app.sources import Source, make_source, options_of

SECRET = "t0ps3cret/token"


def http_source(url: str, *, batch_size: int = 1, max_in_flight: int = 4, **options: Any) -> Source:
    """A source with these options, checked as those of a settings file are."""
    return make_source(
        SourceSettings(
            name="catalog",
            kind="http",
            batch_size=batch_size,
            max_in_flight=max_in_flight,
            options=options_of("http")(unknown=RAISE).load({"url": url, **options}),
            secrets=(SECRET,),
        )
    )


def at_once() -> None:
    """A `start` that needs no waiting."""
