"""What the form takes for an ID, tried in the modules themselves."""

from __future__ import annotations

import csv
import io
from itertools import product
from typing import Any

import pytest

pytestmark = pytest.mark.browser

PARSE = """async ({text, options}) => {
    const module = await import("/ui/static/submit/parse_ids.js");
    return module.parseIds(text, options);
}"""

COLUMNS = """async texts => {
    const {csvColumn} = await import("/ui/static/submit/csv_column.js");
    const {Unusable} = await import("/ui/static/submit/unusable.js");
    const column = text => {
        try {
            return csvColumn(text).filter(Boolean);
        } catch (error) {
            if (error instanceof Unusable) return null;
            throw error;
        }
    };
    return texts.map(column);
}"""
# As before JSON.parse told a reviver how a number was written.
WITHOUT_SOURCE_TEXT = """async text => {
    const {parse, rawJSON} = JSON;
    JSON.parse = (text, revive) => parse(text, revive && ((key, value) => revive(key, value)));
    delete JSON.rawJSON;
    try {
        const {parseIds} = await import("/ui/static/submit/parse_ids.js");
        return parseIds(text, {heading: null}).tokens;
    } finally {
        Object.assign(JSON, {parse, rawJSON});
    }
}"""


def parsed(page: Any, text: str, **options: Any) -> dict[str, Any]:
    found = page.evaluate(PARSE, {"text": text, "options": {"heading": None, **options}})
    return dict(found)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        pytest.param("1\n2\r\n3", ["1", "2", "3"], id="a line each, of any system"),
        pytest.param(" 1, 2 ,3\t", ["1", "2", "3"], id="commas and blanks"),
        pytest.param("1;2\n3 4", ['"1;2"', '"3 4"'], id="nothing else comes between"),
        pytest.param("1\n\n,,2\n", ["1", "2"], id="empty places"),
        pytest.param("B7", ['"B7"'], id="text"),
        pytest.param('"B 7"\n "4" , 4', ['"B 7"', '"4"', "4"], id="text between quotes"),
        pytest.param('"a,b",1', ['"a,b"', "1"], id="a comma between quotes"),
        pytest.param('"a\\"b\\u0041"', ['"a\\"bA"'], id="quotes hold JSON"),
        pytest.param("5\" pipe,'x'", ['"5\\" pipe"', "\"'x'\""], id="quotes that are characters"),
        pytest.param('a"b\\c', ['"a\\"b\\\\c"'], id="characters that JSON escapes"),
        pytest.param("007", ['"007"'], id="leading zeros would be lost"),
        pytest.param("-5 ,+5,-0", ["-5", '"+5"', '"-0"'], id="signs"),
        pytest.param("5.0\n1e3", ['"5.0"', '"1e3"'], id="not written as an integer"),
        pytest.param("9223372036854775807", ["9223372036854775807"], id="the largest integer"),
        pytest.param("9223372036854775808", ['"9223372036854775808"'], id="more than 64 bits"),
        pytest.param("-9223372036854775808", ["-9223372036854775808"], id="the least integer"),
        pytest.param('[1, "1", "B7"]', ["1", '"1"', '"B7"'], id="JSON says which is which"),
        pytest.param(
            "[9007199254740993]", ["9007199254740993"], id="more digits than a number has"
        ),
        pytest.param(
            '["12345678901234567", "a\\"1234567890123456", -1234567890123456789]',
            ['"12345678901234567"', '"a\\"1234567890123456"', "-1234567890123456789"],
            id="digits in text beside them",
        ),
        pytest.param("[]", [], id="an empty array"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_text_becomes_ids(scratch_page: Any, text: str, tokens: list[str]) -> None:
    assert parsed(scratch_page, text)["tokens"] == tokens


@pytest.mark.parametrize(
    ("text", "tokens", "heading"),
    [
        pytest.param("id,name\n5,Lamp\n6,Desk", ["5", "6"], "id", id="a usual heading"),
        pytest.param("thing\n5\n6", ["5", "6"], "thing", id="a word above integers"),
        pytest.param("A1,x\nA2,y", ['"A1"', '"A2"'], None, id="text all the way"),
        pytest.param("5;a\n6;b", ["5", "6"], None, id="semicolons"),
        pytest.param("5\ta\r\n6\tb", ["5", "6"], None, id="tabs"),
        pytest.param('"a,b",1\n"c ""d""",2', ['"a,b"', '"c \\"d\\""'], None, id="quotes"),
        pytest.param('A1,"two\nlines"\nA2,y', ['"A1"', '"A2"'], None, id="a row over two lines"),
        pytest.param(
            'sku,desc\n1,lamp 5" wide\n2,desk\n3,pipe 6" long\n4,x',
            ["1", "2", "3", "4"],
            "sku",
            id="inches",
        ),
        pytest.param('"a,b";1\n"c,d";2', ['"a,b"', '"c,d"'], None, id="the other separator quoted"),
        pytest.param('"5" ,x\n"6" \n7', ["5", "6", "7"], None, id="blanks behind quotes"),
    ],
)
def test_csv_gives_its_first_column(
    scratch_page: Any, text: str, tokens: list[str], heading: str | None
) -> None:
    found = parsed(scratch_page, text, format="csv")
    assert found["tokens"] == tokens
    assert found["heading"] == heading


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        pytest.param("name,price\nLamp,9.50\nDesk,3", "name", id="words, numbers below one"),
        pytest.param("name,price,\nLamp,9.50,x", "name", id="a cell without a name"),
        pytest.param("\n \nname,price\nLamp,9", "name", id="empty lines before it"),
        pytest.param("name,maker\nLamp,Osto", None, id="words all the way"),
        pytest.param("B7,none\nB8,5\nB9,6", None, id="an ID beside a missing number"),
        pytest.param("Lamp,9\nDesk,3", None, id="a number beside it"),
        pytest.param("name,price", None, id="one row"),
    ],
)
def test_the_first_row_is_a_heading_when_it_is_unlike_the_rest(
    scratch_page: Any, text: str, heading: str | None
) -> None:
    assert parsed(scratch_page, text, format="csv")["heading"] == heading


@pytest.mark.parametrize(
    ("column", "tokens"),
    [
        pytest.param(0, ['"Lamp"', '"Desk"', '"Bed"'], id="the first"),
        pytest.param(1, ['"A1"', '"A2"'], id="one that a row lacks"),
        pytest.param(2, ["9"], id="the last"),
        pytest.param(3, ['"Lamp"', '"Desk"', '"Bed"'], id="none, in a text that was changed"),
    ],
)
def test_csv_gives_the_column_that_is_asked_for(
    scratch_page: Any, column: int, tokens: list[str]
) -> None:
    text = 'name,sku,price\nLamp,"A1",9\nDesk,A2\nBed'
    assert parsed(scratch_page, text, format="csv", column=column)["tokens"] == tokens


def test_csv_is_read_as_by_the_module_of_python(scratch_page: Any) -> None:
    texts = ["".join(text) for length in range(6) for text in product('1",\n\r', repeat=length)]
    assert scratch_page.evaluate(COLUMNS, texts) == [first_column(text) for text in texts]


def first_column(text: str) -> list[str] | None:
    """The first cells that are not empty; None where the text is no CSV."""
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return None
    return [row[0] for row in rows if row and row[0]]


@pytest.mark.parametrize(
    ("text", "options", "failure"),
    [
        pytest.param(
            '1\n"2\n3',
            {"format": "csv"},
            "Line 2: a quote opens a cell and none ends it.",
            id="a cell without end",
        ),
        pytest.param(
            '1,x\r\n2,"y"z',
            {"format": "csv"},
            "Line 2: something follows the quote that ends a cell.",
            id="a cell that goes on",
        ),
        pytest.param(
            '1\n2, "3\n4',
            {},
            "Line 2: a quote is opened and not closed.",
            id="a list with a quote too few",
        ),
        pytest.param(
            '"1" 2',
            {},
            "Line 1: something follows a closing quote.",
            id="a comma too few",
        ),
        pytest.param(
            '1\r"\\x"',
            {},
            "Line 2: what stands between quotes is no JSON string.",
            id="no escape of JSON",
        ),
    ],
)
def test_quotes_that_do_not_match_are_told(
    scratch_page: Any, text: str, options: dict[str, str], failure: str
) -> None:
    found = parsed(scratch_page, text, **options)
    assert (found["failure"], found["tokens"]) == (failure, [])


def test_long_integers_keep_their_digits_in_a_browser_that_gives_no_help(
    scratch_page: Any,
) -> None:
    text = '[9007199254740993, -9223372036854775808, "9007199254740993"]'
    assert scratch_page.evaluate(WITHOUT_SOURCE_TEXT, text) == [
        "9007199254740993",
        "-9223372036854775808",
        '"9007199254740993"',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("[1, 2.5]", "ID number 2 is neither an integer nor text.", id="a fraction"),
        pytest.param(
            "[9007199254740993.0]",
            "ID number 1 is neither an integer nor text.",
            id="digits that were lost",
        ),
        pytest.param("[true]", "ID number 1 is neither an integer nor text.", id="a boolean"),
        pytest.param("[[1]]", "ID number 1 is neither an integer nor text.", id="nested"),
        pytest.param('["", 2]', "ID number 1 is empty.", id="empty text"),
        pytest.param("[92233720368547758080]", "ID number 1 has more than 64 bits.", id="large"),
        pytest.param("x" * 256, "ID number 1 is longer than 255 characters.", id="long"),
        pytest.param(
            '["a\\u0000"]', "ID number 1 has a character that cannot be stored.", id="NUL"
        ),
    ],
)
def test_what_is_no_id_is_named_with_its_place(scratch_page: Any, text: str, problem: str) -> None:
    assert parsed(scratch_page, text)["problems"] == [problem]


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        pytest.param('{"ids": [1]}', None, id="an object is read as a list"),
        pytest.param("[1, 2", "This is not a JSON array: ", id="cut off"),
    ],
)
def test_json_that_cannot_be_read_says_so(
    scratch_page: Any, text: str, failure: str | None
) -> None:
    found = parsed(scratch_page, text)["failure"]
    assert found is None if failure is None else found.startswith(failure)


def test_numbers_can_be_sent_as_text_and_each_id_only_once(scratch_page: Any) -> None:
    assert parsed(scratch_page, "5, 5, B7")["duplicateCount"] == 1
    assert parsed(scratch_page, "5, 5, B7", asText=True, once=True)["tokens"] == ['"5"', '"B7"']
