"""Alert rules and dashboard, by Prometheus' own tools; and a real Prometheus that scrapes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from ingest_app.access.keys import create_key
from ingest_app.clock import SystemClock
from ingest_app.states import Role
from tests.support.lacking import need_tool
from tests.support.ports import held_port
from tests.support.queues import opened
from tests.support.service import ROOM_SECONDS, Service, gunicorn, kill_group, running, until

pytestmark = pytest.mark.packaging

MONITORING = Path(__file__).resolve().parents[2] / "docs/monitoring"
# What Grafana puts in their place.
VARIABLES = {"$__rate_interval": "1m", "$source": "default"}
BATCH_COUNT = 7

CONFIG = """
global: {{scrape_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: ingest
    authorization: {{credentials_file: {key}}}
    static_configs: [{{targets: ["{target}"]}}]
"""


@pytest.fixture
def promtool() -> Callable[..., None]:
    """Runs promtool beside the rules, and fails with what it says."""
    program = need_tool("promtool", "prometheus")

    def run(*arguments: str | Path) -> None:
        done = subprocess.run(
            [program, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def test_alert_rules_are_valid(promtool: Callable[..., None]) -> None:
    promtool("check", "rules", "alerts.yml")


def test_alerts_fire_when_they_should_and_only_then(promtool: Callable[..., None]) -> None:
    promtool("test", "rules", "alerts_test.yml")


def test_every_alert_is_tested() -> None:
    named = re.compile(r"^ *- alert: (\w+)$", re.MULTILINE)
    tested = re.compile(r"alertname: (\w+)$", re.MULTILINE)
    rules, tests = (
        pattern.findall((MONITORING / file).read_text())
        for pattern, file in ((named, "alerts.yml"), (tested, "alerts_test.yml"))
    )
    assert set(rules) == set(tests)


def test_rule_that_names_another_threshold_fails_its_test(
    promtool: Callable[..., None], tmp_path: Path
) -> None:
    # The negative control of the tests above.
    rules = (MONITORING / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(rules.replace("ingest_source_deferred == 1", "up > 1"))
    tests = tmp_path / "alerts_test.yml"
    tests.write_text((MONITORING / "alerts_test.yml").read_text())
    with pytest.raises(AssertionError, match="IngestSourceDeferred"):
        promtool("test", "rules", tests)


def test_expressions_of_the_dashboard_can_be_parsed(
    promtool: Callable[..., None], tmp_path: Path
) -> None:
    board = json.loads((MONITORING / "dashboard.json").read_text())
    expressions = [
        target["expr"] for panel in board["panels"] for target in panel.get("targets", ())
    ]
    for variable, value in VARIABLES.items():
        expressions = [expression.replace(variable, value) for expression in expressions]
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(expressions)
    ]
    file = tmp_path / "dashboard.yml"  # JSON is YAML, too
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert len(rules) > 15
    promtool("check", "rules", file)


def test_prometheus_scrapes_a_service_with_two_workers(tmp_path: Path) -> None:
    program = need_tool("prometheus", "prometheus")
    at_once = {"interval_seconds": 0, "simulated_latency_seconds": 0, "batch_size": 1}
    with running(tmp_path, gunicorn("--workers", "2"), **at_once) as service:
        service.ingest(list(range(BATCH_COUNT)))
        service.wait_until_all_ended()
        key = _new_key(service)
        assert service.get("/metrics").status_code == 401
        with _scraping(program, service, key, folder=tmp_path) as prometheus:
            _check_what_it_has(prometheus)


def _check_what_it_has(prometheus: str) -> None:
    ended = 'sum(ingest_dispatches_total{outcome="completed"})'
    # Each waits for its own: a scrape that a busy machine makes late leaves a gap in all of them.
    until(lambda: _asked(prometheus, ended) == BATCH_COUNT, "all dispatches in Prometheus")
    until(lambda: _asked(prometheus, "sum(ingest_waiting_batches)") == 0, "nothing that waits")
    until(lambda: _asked(prometheus, 'up{job="ingest"}') == 1, "a scrape that was answered")
    groups = _get(f"{prometheus}/api/v1/rules")["groups"]
    assert all(rule["health"] != "err" for group in groups for rule in group["rules"])


def _new_key(service: Service) -> str:
    """The key of a reader; from now on the service wants one."""
    with opened(service.database) as database:
        return create_key(database, "prometheus", Role.READER, clock=SystemClock()).text


@contextmanager
def _scraping(program: str, service: Service, key: str, *, folder: Path) -> Iterator[str]:
    """A Prometheus that scrapes the service every second, and its address."""
    key_file, config = folder / "key", folder / "prometheus.yml"
    key_file.write_text(f"{key}\n")
    target = service.url.removeprefix("http://")
    config.write_text(CONFIG.format(rules=MONITORING / "alerts.yml", key=key_file, target=target))
    holder, port = held_port()
    address = f"127.0.0.1:{port}"
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(
            [
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: _is_ready(f"http://{address}"), "Prometheus is ready")
        yield f"http://{address}"
    finally:
        kill_group(server)  # type: ignore[arg-type]
        holder.close()


def _is_ready(prometheus: str) -> bool:
    try:
        return requests.get(f"{prometheus}/-/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _asked(prometheus: str, query: str) -> float | None:
    result = _get(f"{prometheus}/api/v1/query", query=query)["result"]
    return float(result[0]["value"][1]) if result else None


def _get(url: str, **parameters: str) -> dict[str, Any]:
    answer = requests.get(url, params=parameters, timeout=ROOM_SECONDS)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data
