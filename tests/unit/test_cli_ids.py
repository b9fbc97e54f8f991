"""What is read from arguments, lines, columns and arrays, and on which line it stands."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_app.cli import json_array
from ingest_app.cli.exits import Unusable
from ingest_app.cli.ids import as_json, from_arguments, from_csv, from_file
from ingest_app.cli.json_array import read_array

ids = st.integers(-(2**70), 2**70) | st.text(max_size=12)


def read(content: str | bytes, *, as_text: bool = False) -> list[tuple[Any, int]]:
    raw = content.encode() if isinstance(content, str) else content
    return [(json.loads(text), line) for text, line in from_file(io.BytesIO(raw), as_text=as_text)]


def read_csv(content: str, column: str, **more: Any) -> list[tuple[Any, int]]:
    options = {"delimiter": ",", "as_text": False, **more}
    found = from_csv(io.BytesIO(content.encode()), column=column, **options)
    return [(json.loads(text), line) for text, line in found]


@pytest.mark.parametrize(
    ("token", "value"),
    [
        pytest.param("5", 5, id="digits"),
        pytest.param("0", 0, id="zero"),
        pytest.param("-7", -7, id="negative"),
        pytest.param(str(2**63 - 1), 2**63 - 1, id="the largest of 64 bits"),
        pytest.param(str(2**63), str(2**63), id="one more"),
        pytest.param(str(-(2**63)), -(2**63), id="the least of 64 bits"),
        pytest.param("9" * 5_000, "9" * 5_000, id="more digits than Python reads"),
        pytest.param("007", "007", id="zeros that a number would lose"),
        pytest.param("-0", "-0", id="a sign that it would lose"),
        pytest.param("+5", "+5", id="not as JSON writes it"),
        pytest.param("5.0", "5.0", id="not as digits"),
        pytest.param("1_000", "1_000", id="as Python alone writes it"),
        pytest.param("٣", "٣", id="digits of another script"),
        pytest.param("true", "true", id="a word of JSON"),
        pytest.param('a"b', 'a"b', id="a quote"),
    ],
)
def test_token_is_an_integer_where_nothing_is_lost(token: str, value: object) -> None:
    assert json.loads(as_json(token, as_text=False)) == value


def test_as_text_everything_is_a_string() -> None:
    assert [*from_arguments(["5", "x"], as_text=True)] == [('"5"', 1), ('"x"', 2)]
    assert read("5\n", as_text=True) == [("5", 1)]
    assert read('"4", 5', as_text=True) == [("4", 1), ("5", 1)]
    assert read('[5, "x", -1.5]', as_text=True) == [("5", 1), ("x", 1), ("-1.5", 1)]


def test_as_text_what_is_no_id_stays_so() -> None:
    content = '[null, true, {"a": 1}, [2]]'
    assert read(content, as_text=True) == read(content)


def test_argument_is_one_id_with_its_commas_and_quotes() -> None:
    found = from_arguments(["1,2", '"4"'], as_text=False)
    assert [json.loads(text) for text, _ in found] == ["1,2", '"4"']


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param("1\n2\n", [(1, 1), (2, 2)], id="one a line"),
        pytest.param("1\n2", [(1, 1), (2, 2)], id="no newline at the end"),
        pytest.param("1\r\n2\r\n", [(1, 1), (2, 2)], id="of Windows"),
        pytest.param("\ufeff1\n", [(1, 1)], id="a byte order mark"),
        pytest.param("\n  a b \n\n2\n", [("a b", 2), (2, 4)], id="blank lines and space around"),
        pytest.param("é\n", [("é", 1)], id="beyond ASCII"),
        pytest.param("", [], id="nothing"),
        pytest.param("x[1]\n", [("x[1]", 1)], id="a bracket that opens no array"),
        pytest.param("1,2\n3", [(1, 1), (2, 1), (3, 2)], id="several on a line"),
        pytest.param(" 1 , a b ,\t007 ", [(1, 1), ("a b", 1), ("007", 1)], id="space around"),
        pytest.param(",1,,2, ,\n,\n3", [(1, 1), (2, 1), (3, 3)], id="nothing between commas"),
        pytest.param('"4",4', [("4", 1), (4, 1)], id="quoted digits are text"),
        pytest.param(' "a,b" , "c" ', [("a,b", 1), ("c", 1)], id="a quoted comma divides nothing"),
        pytest.param(r'"\"\u00e9\n"', [('"é\n', 1)], id="escapes as in JSON"),
        pytest.param('""', [("", 1)], id="quoted nothing: left to the service"),
        pytest.param("a\"b,5'", [('a"b', 1), ("5'", 1)], id="a quote that opens nothing"),
    ],
)
def test_list(content: str, found: list[tuple[Any, int]]) -> None:
    assert read(content) == found


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('"a', id="no end"),
        pytest.param('"a"b', id="something behind it"),
        pytest.param(r'"\x"', id="no escape of JSON"),
        pytest.param('"a\tb"', id="a control character, which JSON escapes"),
        pytest.param('1,"', id="one quote"),
    ],
)
def test_quotes_that_hold_no_text_are_refused_with_their_line(line: str) -> None:
    with pytest.raises(Unusable, match="Line 2: text in double quotes"):
        read(f"1\n{line}\n")


@given(st.lists(ids, min_size=1), st.sampled_from([",", "\n", " ,\r\n"]))
def test_list_of_json_values_is_read_as_the_array_of_them(values: list[object], by: str) -> None:
    values = [value for value in values if not isinstance(value, int) or abs(value) < 2**63]
    found = read(by.join(map(json.dumps, values)))
    assert [value for value, _ in found] == values


def test_what_is_not_utf8_is_refused_with_its_place() -> None:
    with pytest.raises(Unusable, match="not UTF-8"):
        read(b"1\n2\n\xff\n")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param('[1, "5"]', [(1, 1), ("5", 1)], id="kinds stay"),
        pytest.param('\n [\n1,\n"b"\n]\n', [(1, 3), ("b", 4)], id="over several lines"),
        pytest.param("[]", [], id="empty"),
        pytest.param('[","]', [(",", 1)], id="a comma inside"),
        pytest.param('["é"]', [("é", 1)], id="beyond ASCII"),
        pytest.param("[null, [1], 5.5]", [(None, 1), ([1], 1), (5.5, 1)], id="left to the service"),
    ],
)
def test_array(content: str, found: list[tuple[Any, int]]) -> None:
    assert read(content) == found


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("[1, 2", id="no end"),
        pytest.param("[1,]", id="a comma too many"),
        pytest.param("[1 2]", id="a comma missing"),
        pytest.param('["a', id="a string without an end"),
        pytest.param("[1] 2", id="something behind it"),
        pytest.param("[NaN]", id="not JSON, though Python reads it"),
        pytest.param("[" + "9" * 5_000 + "]", id="more digits than Python reads"),
        pytest.param(b'["\xff"]', id="not UTF-8"),
        pytest.param('["' + "x" * 200_000, id="far longer than an ID"),
        pytest.param("[" * 70_000, id="nested deeper than Python reads"),
    ],
)
def test_array_that_is_none_is_refused_with_its_line(content: str | bytes) -> None:
    with pytest.raises(Unusable, match="Line 1 of the JSON array"):
        read(content)


@given(st.lists(ids), st.sampled_from([None, 0, 2]), st.integers(1, 9))
def test_array_is_read_as_a_whole_would_be_however_it_is_cut(
    values: list[object], indent: int | None, length: int
) -> None:
    class Cut(io.StringIO):
        def read(self, _: int | None = -1) -> str:
            return super().read(length)

    for ascii_only in (True, False):
        text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
        found = [*read_array(Cut(text))]
        assert [json.loads(each) for each, _ in found] == values
        assert all(each.isascii() for each, _ in found)
    assert json_array._PIECE_LENGTH > 6 * 255  # an ID at its longest, all of it escaped


@pytest.mark.parametrize(
    ("content", "more", "found"),
    [
        pytest.param("a,b\n1,x\n2,y\n", {}, [("x", 2), ("y", 3)], id="by its name"),
        pytest.param("b\n\n \nx\n", {}, [("x", 4)], id="none where it is empty"),
        pytest.param("a,b\n1\n2,y\n", {}, [("y", 3)], id="nor where the row is short"),
        pytest.param('b\n"x\ny"\nz\n', {}, [("x\ny", 3), ("z", 4)], id="a line break inside"),
        pytest.param("a;b\n1;2\n", {"delimiter": ";"}, [(2, 2)], id="another delimiter"),
        pytest.param("\ufeffb\n2\n", {"as_text": True}, [("2", 2)], id="as text"),
    ],
)
def test_column(content: str, more: dict[str, Any], found: list[tuple[Any, int]]) -> None:
    assert read_csv(content, "b", **more) == found


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param("a,c\n1,2\n", "no column 'b'; there are: a, c", id="no such column"),
        pytest.param("", "no column 'b'", id="nothing"),
        pytest.param('b\n"x', "Line 2 is not CSV", id="a quote without an end"),
    ],
)
def test_table_without_the_column_is_refused(content: str, sentence: str) -> None:
    with pytest.raises(Unusable, match=sentence):
        read_csv(content, "b")
