"""What is sent for which IDs, and which IDs cannot be asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest_app.items import ItemId
from ingest_app.sources.templates import RequestTemplate, TemplateError, has_dot_segment

HOST = "https://host.example"


def template(
    url: str = "", query: dict[str, Any] | None = None, body: Any = None, separator: str = ","
) -> RequestTemplate:
    return RequestTemplate(HOST + url, query or {}, body, separator)


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        pytest.param(5, "5", id="a number"),
        pytest.param(-5, "-5", id="a number below zero"),
        pytest.param("5", "5", id="digits"),
        pytest.param("005", "005", id="zeros in front stay"),
        pytest.param("a b", "a%20b", id="a blank"),
        pytest.param("a/b", "a%2Fb", id="a slash is not a step of the path"),
        pytest.param("a?b#c", "a%3Fb%23c", id="neither a query nor a fragment"),
        pytest.param("a&b=c+d", "a%26b%3Dc%2Bd", id="not another parameter"),
        pytest.param("100%", "100%25", id="a percent sign"),
        pytest.param("%2F", "%252F", id="what looks encoded is not"),
        pytest.param("{id}", "%7Bid%7D", id="what looks like a placeholder is none"),
        pytest.param("ä€", "%C3%A4%E2%82%AC", id="UTF-8"),
        pytest.param("a\r\nb", "a%0D%0Ab", id="a line break ends no header"),
        pytest.param("a-._~b", "a-._~b", id="what needs no encoding"),
    ],
)
def test_ids_are_percent_encoded_wherever_they_stand(item: ItemId, encoded: str) -> None:
    assert template("/items/{id}").fill([item]).url == f"{HOST}/items/{encoded}"
    assert template("/items?id={id}").fill([item]).url == f"{HOST}/items?id={encoded}"
    assert template("/items", {"id": "{id}"}).fill([item]).url == f"{HOST}/items?id={encoded}"


@pytest.mark.parametrize(
    ("url", "query", "expected"),
    [
        pytest.param("/i?ids={ids}", {}, "/i?ids=1,b", id="joined"),
        pytest.param("/i/{ids}.json", {}, "/i/1,b.json", id="joined in the path"),
        pytest.param("/i?a={ids}&b={ids}", {}, "/i?a=1,b&b=1,b", id="twice"),
        pytest.param("/i", {"id": ["{ids}"]}, "/i?id=1&id=b", id="repeated"),
        pytest.param("/i", {"id[]": ["{ids}"]}, "/i?id%5B%5D=1&id%5B%5D=b", id="a name is encoded"),
        pytest.param("/i?a=1", {"id": "{ids}"}, "/i?a=1&id=1,b", id="after a query of the URL"),
        pytest.param("/i", {"q": "id:({ids})"}, "/i?q=id%3A%281,b%29", id="amid encoded text"),
        pytest.param("/i?q={{{ids}}}", {}, "/i?q={1,b}", id="doubled braces are braces"),
        pytest.param("/i", {"q": "{{{ids}}}"}, "/i?q=%7B1,b%7D", id="in a parameter too"),
        pytest.param(
            "/i",
            {"id": "{ids}", "n": 5, "x": 0.5, "y": True, "t": ["a", "b"]},
            "/i?id=1,b&n=5&x=0.5&y=true&t=a&t=b",
            id="parameters of all types",
        ),
    ],
)
def test_many_ids_are_joined_or_repeat_a_parameter(
    url: str, query: dict[str, Any], expected: str
) -> None:
    assert template(url, query).fill([1, "b"]).url == HOST + expected


@pytest.mark.parametrize(
    ("separator", "between"),
    [
        pytest.param(";", ";", id="as it is"),
        pytest.param("|", "%7C", id="encoded"),
        pytest.param(" ", "%20", id="a blank"),
        pytest.param("+", "%2B", id="a plus, which would be read as a blank"),
        pytest.param("&", "%26", id="not another parameter"),
        pytest.param("/", "%2F", id="not a step of the path"),
    ],
)
def test_separator_is_what_the_upstream_reads(separator: str, between: str) -> None:
    filled = template("/i?ids={ids}", separator=separator).fill([1, 2])
    assert filled.url == f"{HOST}/i?ids=1{between}2"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"ids": "{ids}"}, {"ids": [1, "b"]}, id="all, with their types"),
        pytest.param("{ids}", [1, "b"], id="alone"),
        pytest.param({"f": [{"in": "{ids}"}]}, {"f": [{"in": [1, "b"]}]}, id="deep inside"),
        pytest.param({"id": "{id}"}, {"id": 1}, id="one, with its type"),
        pytest.param(
            {"query": "{ items(ids: $ids) {id} }", "variables": {"ids": "{ids}"}},
            {"query": "{ items(ids: $ids) {id} }", "variables": {"ids": [1, "b"]}},
            id="braces within a text are braces",
        ),
        pytest.param(
            {"ids": "{ids}", "n": 5, "x": 0.5, "y": True},
            {"ids": [1, "b"], "n": 5, "x": 0.5, "y": True},
            id="all else stays",
        ),
    ],
)
def test_body_is_filled_in(body: Any, expected: Any) -> None:
    assert json.loads(template("/i", body=body).fill([1, "b"]).body) == expected


def test_without_a_body_there_is_none() -> None:
    assert template("/i/{id}").fill([1]).body is None


@pytest.mark.parametrize(
    ("given", "placeholders"),
    [
        pytest.param({"url": "/{id}"}, {"{id}"}, id="in the URL"),
        pytest.param({"query": {"a": ["{ids}"]}}, {"{ids}"}, id="in a parameter"),
        pytest.param({"body": {"a": ["{ids}"]}}, {"{ids}"}, id="in the body"),
        pytest.param({"url": "/{id}", "body": "{ids}"}, {"{id}", "{ids}"}, id="both"),
        pytest.param({"url": "/{{id}}", "body": "a {ids}"}, set(), id="none that counts"),
    ],
)
def test_placeholders_are_found(given: dict[str, Any], placeholders: set[str]) -> None:
    assert template(**given).placeholders == placeholders


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{name}", id="no such placeholder"),
        pytest.param("{ID}", id="lower case only"),
        pytest.param("{ id }", id="no blanks"),
        pytest.param("{", id="never closed"),
        pytest.param("}", id="never opened"),
        pytest.param("{}", id="empty"),
        pytest.param('{"id": {id}}', id="JSON whose braces are not doubled"),
    ],
)
def test_other_braces_are_an_error_that_does_not_quote(text: str) -> None:
    for given in ({"url": f"/a?token=t0ps3cret{text}"}, {"query": {"a": f"t0ps3cret{text}"}}):
        with pytest.raises(TemplateError) as error:
            template(**given)
        assert "t0ps3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "item", "is_possible"),
    [
        pytest.param("/i/{id}", ".", False, id="this folder"),
        pytest.param("/i/{id}", "..", False, id="the folder above"),
        pytest.param("/i/{id}", "...", True, id="only a strange name"),
        pytest.param("/i/{id}", ".a", True, id="a hidden file"),
        pytest.param("/i/{id}", "a/../b", False, id="some servers decode before they resolve"),
        pytest.param("/i/{id}", "a\\..\\b", False, id="and some take a backslash for a slash"),
        pytest.param("/i/{id}", "a/b", True, id="a slash alone leads nowhere else"),
        pytest.param("/i/{id}", "%2e%2e", True, id="nobody decodes twice"),
        pytest.param("/i/{id}.json", "..", True, id="with a suffix it is a name"),
        pytest.param("/i/.{id}", ".", False, id="with a prefix it becomes one"),
        pytest.param("/i?id={id}", "..", True, id="in a query it is just text"),
        pytest.param("/i/{ids}", "..", False, id="it might be alone in its batch"),
        pytest.param("/i?ids={ids}", "a,b", False, id="it would be read as two"),
        pytest.param("/i?id={id}", "a,b", True, id="nothing is joined"),
    ],
)
def test_ids_that_would_ask_for_something_else_are_not_asked_for(
    url: str, item: str, is_possible: bool
) -> None:
    assert (template(url).why_not(item) is None) is is_possible


def test_separator_does_not_matter_where_ids_are_not_joined() -> None:
    assert template("/i", {"id": ["{ids}"]}).why_not("a,b") is None
    assert template("/i", body={"ids": "{ids}"}).why_not("a,b") is None


@pytest.mark.parametrize("path", ["/a/./b", "/a/..", "/a/%2e%2E/b", "/%2e"])
def test_dot_segments_are_found_in_any_spelling(path: str) -> None:
    assert has_dot_segment(HOST + path)
