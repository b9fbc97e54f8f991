"""How IDs become records: the kinds of source, by name."""

from __future__ import annotations

from importlib.metadata import entry_points

from marshmallow import Schema

from ingest_app.errors import SettingsError
from ingest_app.settings import SourceSettings
from ingest_app.sources.base import Source, SourceKind

__all__ = ["Source", "SourceKind", "kind_names", "make_source", "options_of"]

ENTRY_POINTS = "ingest_app.sources"
"""The group of entry points under which packages, this one too, offer their kinds."""


def make_source(settings: SourceSettings) -> Source:
    """The source that these settings describe; its kind checked them when they were read."""
    return _kind(settings.kind)(settings)


def options_of(kind: str) -> type[Schema]:
    """What a source of this kind may set (SettingsError when there is no such kind)."""
    return _kind(kind).options


def kind_names() -> set[str]:
    """The kinds that are installed, those of other packages too."""
    return entry_points(group=ENTRY_POINTS).names


def _kind(name: str) -> type[SourceKind]:
    offered = entry_points(group=ENTRY_POINTS)
    found = offered.select(name=name)
    if not found:
        known = ", ".join(sorted(offered.names))
        raise SettingsError(f"There is no kind {name!r} of source; the known ones are: {known}.")
    if len(found) > 1:
        raise SettingsError(f"The kind {name!r} of source is offered by several packages.")
    try:
        kind: type[SourceKind] = found[name].load()
    except Exception as error:  # whatever another package does when it is imported
        raise SettingsError(f"The kind {name!r} of source cannot be loaded: {error}.") from error
    return kind
