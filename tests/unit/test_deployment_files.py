"""What docs/deployment holds agrees with the tree and with the service's own defaults."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from alembic.script import ScriptDirectory

from ingest_app import gunicorn_defaults
from ingest_app.environment import ClientsSchema
from ingest_app.migrating import migrations_folder
from ingest_app.setting_messages import variable_of
from ingest_app.settings import SETTING_NAMES, Settings

ROOT = Path(__file__).parents[2]
DEPLOYMENT = ROOT / "docs" / "deployment"
VARIABLES = {
    *(variable_of(name) for name in {*SETTING_NAMES, *ClientsSchema().fields}),
    "WEB_CONCURRENCY",
}
Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    text = (DEPLOYMENT / "Dockerfile").read_text()
    lines = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line]


def last_stage() -> list[Instruction]:
    every = instructions()
    begun = max(number for number, (word, _) in enumerate(every) if word == "FROM")
    return every[begun:]


def of_last_stage(word: str) -> str:
    (found,) = [rest for name, rest in last_stage() if name == word]
    return found.strip()


def copied() -> Iterator[str]:
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            yield from rest.split()[:-1]


@pytest.mark.parametrize("source", sorted(set(copied())))
def test_what_the_image_is_built_from_exists_and_is_sent(source: str) -> None:
    assert (ROOT / source).exists()
    ignored = (DEPLOYMENT / "Dockerfile.dockerignore").read_text().splitlines()
    assert f"!/{source}" in ignored


def test_nothing_else_is_sent_to_the_builder() -> None:
    ignored = (DEPLOYMENT / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    allowed = {line.removeprefix("!/") for line in ignored if line.startswith("!")}
    assert allowed == set(copied())
    assert any(fnmatch("ingest_app/__pycache__", line) for line in ignored[1:])


def test_image_runs_as_a_number_that_is_not_root() -> None:
    user, group = of_last_stage("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    owners = " ".join(rest for word, rest in last_stage() if word == "RUN")
    assert f"--uid {user}" in owners
    assert f"--gid {group}" in owners


def test_image_keeps_the_instance_in_its_volume() -> None:
    (environ,) = [rest for word, rest in last_stage() if word == "ENV"]
    values = dict(part.split("=", 1) for part in shlex.split(environ))
    assert values["INGEST_INSTANCE_PATH"] == of_last_stage("VOLUME")
    assert values["INGEST_BIND"] == "0.0.0.0:8000"
    assert of_last_stage("EXPOSE") == "8000"
    assert {name for name in values if name.startswith("INGEST_")} <= VARIABLES


def test_image_starts_the_service_without_a_shell_and_stops_it_by_draining() -> None:
    assert json.loads(of_last_stage("CMD"))[:2] == ["ingest", "serve"]
    assert of_last_stage("STOPSIGNAL") == "SIGTERM"


def test_health_is_asked_without_a_shell_by_a_program_that_compiles() -> None:
    words = json.loads(of_last_stage("HEALTHCHECK").partition("CMD ")[2])
    assert words[:2] == ["python", "-c"]
    ast.parse(words[2])
    assert "/healthz" in words[2]


def test_compose_runs_the_image_with_nothing_it_does_not_need() -> None:
    service = yaml.safe_load((DEPLOYMENT / "compose.yaml").read_text())["services"]["ingest"]
    assert service["build"]["dockerfile"] == "docs/deployment/Dockerfile"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["ports"] == ["127.0.0.1:8000:8000"]
    assert f"data:{of_last_stage('VOLUME')}" in service["volumes"]


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("deployment/compose.yaml", r"stop_grace_period: (\d+)s"),
        ("deployment/Dockerfile", r"--stop-timeout (\d+)"),
        ("deployment/ingest.service", r"(?m)^TimeoutStopSec=(\d+)$"),
        ("deployment.md", r"docker run .*--stop-timeout (\d+) \\"),
    ],
)
def test_stop_has_time_for_a_reload_before_it(path: str, given: str) -> None:
    (seconds,) = re.findall(given, (ROOT / "docs" / path).read_text())
    assert int(seconds) > 2 * gunicorn_defaults.graceful_timeout + 5


@pytest.mark.parametrize(
    "name",
    ["compose.yaml", "ingest.service", "ingest-backup.service", "nginx.conf", "Dockerfile"],
)
def test_every_setting_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"\bINGEST_[A-Z_]+", (DEPLOYMENT / name).read_text()))
    assert named - VARIABLES == set()


def test_backup_has_the_environment_of_the_service() -> None:
    environment = r"(?m)^(?:User|Group|Environment=INGEST_\w+|EnvironmentFile)=.*$"
    ours, theirs = (
        set(re.findall(environment, (DEPLOYMENT / f"{name}.service").read_text()))
        for name in ("ingest", "ingest-backup")
    )
    assert len(ours) == 5
    assert ours == theirs


def test_nginx_takes_a_little_more_than_the_service() -> None:
    mebibytes = re.search(r"client_max_body_size (\d+)m;", (DEPLOYMENT / "nginx.conf").read_text())
    assert 0 < int(mebibytes[1]) * 1024**2 - Settings("").max_body_bytes <= 2 * 1024**2


def test_page_says_of_every_revision_what_its_downgrade_takes_away() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    told = set(re.findall(r"(?m)^\| (\d{4}) \| (?:\d{4}|`base`) \| \S", page))
    scripts = ScriptDirectory(str(migrations_folder()))
    assert {script.revision for script in scripts.walk_revisions()} - told == set()


def test_page_links_to_files_that_exist() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    ours = [one for one in re.findall(r"\]\(([^)#]+)", page) if one.startswith("deployment")]
    assert len(ours) == 9
    assert [one for one in ours if not (ROOT / "docs" / one).exists()] == []
