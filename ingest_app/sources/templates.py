"""From the settings of a request and the IDs of a batch to what is sent. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ingest_app.items import ItemId

EACH = "{id}"
ALL = "{ids}"
_TOKEN = re.compile(r"\{\{|\}\}|\{ids?\}|[{}]")
_LITERAL_BRACES = {"{{": "{", "}}": "}"}
_PLACEHOLDER_ALONE = re.compile(r"\{\w+\}")


class TemplateError(ValueError):
    """A template cannot be filled in; the message does not quote it."""


@dataclass(frozen=True, repr=False)
class Filled:
    """One request; body is None when it has none."""

    url: str
    body: bytes | None


class Text:
    """Part of a URL: literal text and placeholders."""

    def __init__(self, template: str, *, is_repeated: bool = False) -> None:
        """Split the template (TemplateError when it has other braces than it may have).

        is_repeated: whether it stands once for each ID instead of once for all.
        """
        self.is_repeated = is_repeated
        self._parts = tuple(_split(template))

    @property
    def placeholders(self) -> set[str]:
        """Those of {id} and {ids} that occur."""
        return {part for part, is_literal in self._parts if not is_literal}

    @property
    def joins(self) -> bool:
        """Whether several IDs stand in one place."""
        return ALL in self.placeholders and not self.is_repeated

    def fill(self, ids: str) -> str:
        """The text with the encoded IDs in place of the placeholders, the rest as it is."""
        return "".join(part if is_literal else ids for part, is_literal in self._parts)

    def fill_encoded(self, ids: str) -> str:
        """The text with the encoded IDs in it, and the rest percent-encoded."""
        return "".join(quote(part, safe="") if literal else ids for part, literal in self._parts)


class RequestTemplate:
    """A request with places for IDs."""

    def __init__(
        self, url: str, query: Mapping[str, Any], body: Any | None, separator: str
    ) -> None:
        """Take the settings of the kind "http" (TemplateError)."""
        self._url = Text(url)
        self._query = list(_parameters(query))
        self._texts = [self._url, *(text for _, text in self._query)]
        self._body = body
        self._separator = separator

    @property
    def placeholders(self) -> set[str]:
        """Those of {id} and {ids} that occur anywhere."""
        in_body = placeholders_of_body(self._body)
        return in_body.union(*(text.placeholders for text in self._texts))

    def fill(self, ids: Sequence[ItemId]) -> Filled:
        """The request for these IDs, of which there is one where it asks for {id}."""
        encoded = [quote(str(item), safe="") for item in ids]
        url = self._url.fill(self._joined(encoded))
        pairs = "&".join(self._filled_pairs(encoded))
        if pairs:
            url += f"{'&' if '?' in url else '?'}{pairs}"
        body = None if self._body is None else _filled_body(self._body, ids)
        return Filled(url, None if body is None else json.dumps(body, ensure_ascii=False).encode())

    def why_not(self, item: ItemId) -> str | None:
        """Why this ID cannot be asked for, a sentence; None when it can."""
        if has_dot_segment(self.fill([item]).url):
            return "In the path of a URL this ID would lead to another place."
        if self._separator in str(item) and any(text.joins for text in self._texts):
            return "This ID contains the separator; another `separator` would help."
        return None

    def _joined(self, encoded: Sequence[str]) -> str:
        # A server reads it decoded, so it may be any; these stand in a path or query as they are.
        return quote(self._separator, safe=",;:").join(encoded)

    def _filled_pairs(self, encoded: Sequence[str]) -> Iterator[str]:
        for name, text in self._query:
            # A list of the placeholder alone repeats the parameter.
            values = encoded if text.is_repeated else [self._joined(encoded)]
            yield from (f"{quote(name, safe='')}={text.fill_encoded(value)}" for value in values)


def has_dot_segment(url: str) -> bool:
    """Whether some client or server on the way would resolve a part of the path as "." or ".."."""
    return not {".", ".."}.isdisjoint(re.split(r"[/\\]", unquote(urlsplit(url).path)))


def placeholders_of_body(body: Any) -> set[str]:
    """Those of {id} and {ids} that occur in a body (TemplateError for other contents).

    There a placeholder is a whole string; within longer ones, as in a GraphQL query, braces are
    just braces.
    """
    if isinstance(body, Mapping):
        return set().union(*map(placeholders_of_body, body.values()))
    if isinstance(body, list):
        return set().union(*map(placeholders_of_body, body))
    if isinstance(body, str):
        return _placeholder_of(body)
    if isinstance(body, float) and not math.isfinite(body):
        raise TemplateError("JSON has neither nan nor inf.")
    if body is not None and not isinstance(body, int | float):
        raise TemplateError("JSON has no dates and times; write them in quotes.")
    return set()


def _parameters(query: Mapping[str, Any]) -> Iterator[tuple[str, Text]]:
    for name, given in query.items():
        for value in given if isinstance(given, list) else ():
            yield name, Text(_as_text(value), is_repeated=value in (EACH, ALL))
        if not isinstance(given, list):
            yield name, Text(_as_text(given))


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise TemplateError("A parameter is a string, a number, true, false, or a list of these.")
    return str(value)


def _split(template: str) -> Iterator[tuple[str, bool]]:
    """The parts, each with whether it is literal."""
    end = 0
    for found in _TOKEN.finditer(template):
        if found[0] in ("{", "}"):
            raise TemplateError(
                "It has braces other than {id} and {ids}; write {{ and }} for braces themselves."
            )
        yield template[end : found.start()], True
        yield _LITERAL_BRACES.get(found[0], found[0]), found[0] in _LITERAL_BRACES
        end = found.end()
    yield template[end:], True


def _placeholder_of(text: str) -> set[str]:
    if not _PLACEHOLDER_ALONE.fullmatch(text):
        return set()
    if text not in (EACH, ALL):
        raise TemplateError("It has a placeholder other than {id} and {ids}.")
    return {text}


def _filled_body(body: Any, ids: Sequence[ItemId]) -> Any:
    if isinstance(body, Mapping):
        return {name: _filled_body(value, ids) for name, value in body.items()}
    if isinstance(body, list):
        return [_filled_body(value, ids) for value in body]
    if body == ALL:
        return list(ids)
    return ids[0] if body == EACH else body
