"""A durable front door to a rate-limited API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest_app.application import configured_database_path, create_app

__all__ = ["configured_database_path", "create_app"]


def __getattr__(name: str) -> Any:
    # `ingest status` imports this package too, and does without Flask and SQLAlchemy, which would
    # take most of its time.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("ingest_app.application"), name)
