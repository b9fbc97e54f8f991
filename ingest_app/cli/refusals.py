"""What the service did not accept, in one sentence, with the lines of the input."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from ingest_app.cli.parts import Part
from ingest_app.errors import RequestFailed

_POSITION = re.compile(r"[0-9]{1,9}")


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
    places = {
        position: _place_of(int(position), part)
        for position in told
        if _POSITION.fullmatch(position) and int(position) < part.id_count
    }
    if not places:
        return f"ids: {_sentences(told)}"
    (first_position, first_place), *rest = places.items()
    first = f"{first_place.capitalize()}: {_sentences(told[first_position])}"
    others = f" Likewise: {', '.join(place for _, place in rest)}." if rest else ""
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
