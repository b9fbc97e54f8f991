"""What the service did not accept, in one sentence, with the lines of the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from ingest_app.cli.parts import Part
from ingest_app.errors import RequestFailed


def explain(failure: RequestFailed, part: Part, advice: str = "") -> RequestFailed:
    """The failure with words that fit the input; `advice` is what to do now."""
    where = "" if part.is_only else f"Part {part.number}: "
    return RequestFailed(f"{where}{_words(failure, part)}{advice}", status=failure.status)


def describe_errors(errors: Mapping[str, object]) -> str:
    """The sentences about each field; "" when there are none."""
    return " ".join(f"{field}: {_sentences(told)}" for field, told in errors.items())


def _words(failure: RequestFailed, part: Part) -> str:
    ids = failure.errors.get("ids")
    if isinstance(ids, Mapping):
        return _bad_ids(ids, part)
    fewer = (
        " Fewer at once: --most." if failure.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else ""
    )
    return (describe_errors(failure.errors) or str(failure)) + fewer


def _bad_ids(told: Mapping[str, object], part: Part) -> str:
    positions = [int(position) for position in told if position.isdigit()]
    places = [_place_of(position, part) for position in positions if position < part.id_count]
    if not places:
        return f"ids: {_sentences(told)}"
    first = f"{places[0].capitalize()}: {_sentences(told[str(positions[0])])}"
    others = f" Likewise: {', '.join(places[1:])}." if places[1:] else ""
    more = f" {_sentences(told['more'])}" if "more" in told else ""
    return f"{first}{others}{more}"


def _place_of(position: int, part: Part) -> str:
    return f"{part.noun} {part.lines.of(position)}"


def _sentences(told: object) -> str:
    if isinstance(told, Mapping):
        return " ".join(_sentences(each) for each in told.values())
    if isinstance(told, Sequence) and not isinstance(told, str):
        return " ".join(map(str, told))
    return str(told)
