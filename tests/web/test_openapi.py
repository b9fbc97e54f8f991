from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from .conftest import MAX_IDS


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    document: dict[str, Any] = answer.json
    return document


def test_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document, cls=OpenAPIV31SpecValidator)


def test_document_lists_the_routes(document: dict[str, Any]) -> None:
    routes = {(method, path) for path, item in document["paths"].items() for method in item}
    assert {
        ("post", "/ingest"),
        ("get", "/status/{ingestion_id}"),
        ("get", "/ingestions"),
        ("get", "/ingestions/{ingestion_id}"),
        ("get", "/ingestions/{ingestion_id}/batches"),
        ("get", "/ingestions/{ingestion_id}/records"),
        ("post", "/ingestions/{ingestion_id}/cancel"),
        ("post", "/ingestions/{ingestion_id}/retry"),
        ("get", "/sources"),
        ("get", "/activity"),
        ("post", "/sources/{name}/pause"),
        ("post", "/sources/{name}/resume"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
    } <= routes


def test_records_are_documented_in_every_form(document: dict[str, Any]) -> None:
    answer = document["paths"]["/ingestions/{ingestion_id}/records"]["get"]["responses"]["200"]
    assert set(answer["content"]) == {"application/json", "application/x-ndjson", "text/csv"}


def test_every_error_is_documented_as_a_problem_with_an_example(document: dict[str, Any]) -> None:
    problem = {"$ref": "#/components/schemas/Problem"}
    for name, response in _error_responses(document).items():
        assert list(response["content"]) == ["application/problem+json"], name
        assert response["content"]["application/problem+json"]["schema"] == problem, name


def test_every_operation_can_fail(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            assert "500" in item[method]["responses"], (method, path)


def test_every_guarded_operation_can_be_asked_for_too_often(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            is_guarded = "security" in item[method]
            assert ("429" in item[method]["responses"]) == is_guarded, (method, path)
    headers = document["components"]["responses"]["TOO_MANY_REQUESTS"]["headers"]
    assert set(headers) == {"Retry-After", "RateLimit-Policy", "RateLimit"}


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    examples = list(_examples(document))
    assert len(examples) >= 10
    for schema, example in examples:
        whole = {**schema, "components": document["components"]}
        OAS31Validator(whole).validate(example)


def test_configured_limits_are_documented(document: dict[str, Any]) -> None:
    submission = document["components"]["schemas"]["Submission"]
    assert submission["required"] == ["ids", "priority"]
    assert submission["additionalProperties"] is False
    ids = submission["properties"]["ids"]
    assert (ids["type"], ids["minItems"], ids["maxItems"]) == ("array", 1, MAX_IDS)
    assert submission["properties"]["source"]["enum"] == ["catalog", "default"]


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        (2**63 - 1, True),
        (2**63, False),
        (-(2**63), True),
        (-(2**63) - 1, False),
        (9.0, True),
        (5.5, False),
        (True, False),
        (None, False),
        ("", False),
        ("x" * 255, True),
        ("x" * 256, False),
        ("a\nb\n", True),
        ("a\0b", False),
        ("\U0001f600", True),
    ],
)
def test_schema_of_an_id_says_what_the_service_does(
    client: FlaskClient, document: dict[str, Any], value: object, allowed: bool
) -> None:
    schema = document["components"]["schemas"]["Submission"]["properties"]["ids"]["items"]
    assert OAS31Validator(schema).is_valid(value) is allowed
    answer = client.post("/ingest", json={"ids": [value], "priority": "LOW"})
    assert (answer.status_code == 200) is allowed


def _error_responses(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    responses: dict[str, dict[str, Any]] = document["components"]["responses"]
    return {name: response for name, response in responses.items() if "content" in response}


def _examples(node: Any) -> Any:
    if isinstance(node, dict):
        if "schema" in node:
            named = [example["value"] for example in node.get("examples", {}).values()]
            single = [node["example"]] if "example" in node else []
            yield from ((node["schema"], example) for example in named + single)
        for child in node.values():
            yield from _examples(child)
    elif isinstance(node, list):
        for child in node:
            yield from _examples(child)
