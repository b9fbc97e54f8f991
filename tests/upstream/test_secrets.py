"""A token from the environment reaches the upstream, and nobody else."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.support.behaviours import Behaviour, at_first, echoing, hangs_up, knows_all, says
from tests.support.faulty_upstream import Upstream
from tests.support.outcomes import records
from tests.support.service import Service, gunicorn, instance_path, run_to_end, running

from .conftest import write_source

pytestmark = pytest.mark.upstream

HEADER_TOKEN = "sesame-4f9a+/b7="  # what a token may have in it, and a URL not
QUERY_TOKEN = "plugh&2d 81é"
FORMS = [
    form
    for token in (HEADER_TOKEN, QUERY_TOKEN)
    for form in (
        token.encode(),
        quote(token, safe="").encode(),
        quote_plus(token).encode(),
        base64.b64encode(token.encode()),
        token.encode("unicode_escape"),
        token.encode("latin-1"),
    )
]
"""Whatever way they may be written in a log or a database."""


@pytest.fixture
def command(tmp_path: Path, upstream: Upstream) -> list[str]:
    """A service whose one source sends a token in a header and another one in the query."""
    write_source(
        tmp_path,
        url=f"{upstream.url}/items?ids={{ids}}",
        query={"key": "${CATALOG_KEY}"},
        headers={"Authorization": "Bearer ${CATALOG_TOKEN}"},
        items="rows",
        interval_seconds=0.1,
        timeout_seconds=1,
    )
    tokens = (f"CATALOG_TOKEN={HEADER_TOKEN}", f"CATALOG_KEY={QUERY_TOKEN}")
    return ["env", *tokens, *gunicorn("--workers", "1", "--log-level", "debug")]


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(knows_all, id="all is well"),
        pytest.param(echoing(401), id="refused, with an echo of the request"),
        pytest.param(at_first(1, echoing(500)), id="failed, with an echo of the request"),
        pytest.param(at_first(1, echoing(200)), id="unusable, with an echo of the request"),
        pytest.param(
            says(302, Location=f"http://127.0.0.1:9/{quote(QUERY_TOKEN)}"),
            id="sent elsewhere, with the token in the address",
        ),
        pytest.param(at_first(1, hangs_up), id="no answer"),
    ],
)
def test_secrets_reach_the_upstream_and_stand_nowhere_else(
    tmp_path: Path, upstream: Upstream, command: list[str], behaviour: Behaviour
) -> None:
    upstream.behaviour = behaviour
    with running(tmp_path, command, max_attempts=2) as service:
        ingestion_id = service.ingest([1, 2, 3])
        service.wait_until_all_ended()
        answers = all_answers(service, ingestion_id)
        files = all_files(tmp_path)
        errors = " ".join(str(record.error) for record in records(service.database))
    call = upstream.calls[0]
    assert call.headers["Authorization"] == f"Bearer {HEADER_TOKEN}"
    assert f"key={quote(QUERY_TOKEN, safe='')}" in call.target
    assert found_in({"target": call.target.encode()}) != []
    assert found_in(answers) == []
    assert found_in(files) == []
    assert found_in({"errors": errors.encode()}) == []


def test_secrets_are_covered_where_the_upstream_echoes_them(
    tmp_path: Path, upstream: Upstream, command: list[str]
) -> None:
    upstream.behaviour = echoing(401)
    with running(tmp_path, command) as service:
        service.ingest([1, 2, 3])
        service.wait_until_all_ended()
    assert "refused: Bearer *** /items?ids=1,2,3&key=***" in str(records(service.database)[0].error)


def test_secrets_stand_in_no_message_about_a_source_that_cannot_be_set_up(
    tmp_path: Path, command: list[str]
) -> None:
    settings_file = instance_path(tmp_path) / "ingest.toml"
    settings_file.write_text(settings_file.read_text() + 'method = "${CATALOG_TOKEN}"\n')
    ended = run_to_end([*command, "--check-config"], tmp_path)
    assert ended.returncode != 0
    assert re.search(r"sources\.default\.\w*method", ended.stderr)
    assert found_in({"output": (ended.stdout + ended.stderr).encode()}) == []


def all_answers(service: Service, ingestion_id: str) -> dict[str, bytes]:
    """What the API says of the ingestion, the source and the service."""
    paths = [
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/sources",
        "/ingestions",
        f"/status/{ingestion_id}",
        f"/ingestions/{ingestion_id}",
        f"/ingestions/{ingestion_id}/records",
    ]
    told = {path: service.get(path).content for path in paths}
    unknown = service.post("/ingest", {"ids": [1], "priority": "HIGH", "source": "other"})
    return {**told, "unknown source": unknown.content}


def all_files(folder: Path) -> dict[str, bytes]:
    """The database with what is still beside it, and the logs; not the settings file."""
    kept = [*folder.glob("*.log"), *instance_path(folder).glob("ingest.db*")]
    assert len(kept) >= 3, kept
    return {path.name: path.read_bytes() for path in kept}


def found_in(texts: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """The secrets that stand in them, in whatever form."""
    return [(name, form) for name, text in texts.items() for form in FORMS if form in text]
