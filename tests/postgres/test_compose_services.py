"""Each server and one-shot of docker-compose.yml, run without containers: command, environment, health check.

There is no Docker where these tests run; tests/postgres/containers.py says what is the same. The worker and
its mailbox are in test_compose_worker.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from batchmail.engine.ports import LOOPBACK
from scripts.server import Stack
from scripts.server.ports import choose
from tests.postgres.containers import DEPLOY, SERVICES, environment_of, is_healthy, run

WGET = """#!{python}
import sys, urllib.request
urllib.request.urlopen(sys.argv[-1], timeout=5)
"""


@pytest.fixture
def wget(tmp_path: Path) -> str:
    """A PATH on which there is a wget, as there is in the images."""
    if not shutil.which("wget"):
        program = tmp_path / "wget"
        program.write_text(WGET.format(python=sys.executable))
        program.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def test_every_service_is_run_by_a_test_here_or_in_the_workers() -> None:
    assert set(SERVICES) == {
        "postgres",
        "temporal-schema",
        "temporal",
        "temporal-namespace",
        "temporal-ui",
        "worker",
        "mailpit",
    }


def test_postgres_runs_with_the_settings_of_its_command(stack: Stack) -> None:
    assert SERVICES["postgres"].command[:2] == ("postgres", "-c")
    for name, value in (word.split("=") for word in SERVICES["postgres"].command[2::2]):
        assert stack.postgres.query("temporal", f"SHOW {name}").strip() == value
    assert stack.postgres.connection.user == SERVICES["postgres"].environment["POSTGRES_USER"]
    assert stack.postgres.query("temporal", "SHOW server_encoding").strip() == "UTF8"


def test_postgres_lets_nobody_in_without_the_password(stack: Stack) -> None:
    connection = stack.postgres.connection._replace(password="wrong")
    asked = subprocess.run(
        [stack.postgres.programs / "psql", "-d", "temporal", "-c", "SELECT 1"],
        env={**os.environ, **connection.environment},
        capture_output=True,
        text=True,
    )
    assert "password authentication failed" in asked.stderr


def test_postgres_is_healthy_while_it_takes_connections(stack: Stack) -> None:
    path = f"{stack.postgres.programs}:{os.environ['PATH']}"
    port = str(stack.postgres.connection.port)
    (closed,) = choose(1)
    assert is_healthy(SERVICES["postgres"], PATH=path, PGPORT=port)
    assert not is_healthy(SERVICES["postgres"], PATH=path, PGPORT=str(closed))


@pytest.mark.parametrize(
    ("service", "here", "added"),
    [
        (
            "temporal",
            {"POSTGRES_SEEDS", "DB_PORT", "POSTGRES_PWD_FILE", "DYNAMIC_CONFIG_FILE_PATH"},
            {"BIND_ON_IP", "POSTGRES_PWD"},
        ),
        ("temporal-ui", {"TEMPORAL_ADDRESS", "TEMPORAL_UI_PORT"}, set()),
    ],
)
def test_a_server_has_its_containers_environment_but_for_addresses_ports_and_paths(
    stack: Stack, service: str, here: set[str], added: set[str]
) -> None:
    process = {"temporal": stack.temporal.process, "temporal-ui": stack.ui.process}[service]
    running, described = environment_of(process.pid), SERVICES[service].environment
    assert {name: running[name] for name in described.keys() - here} == {
        name: described[name] for name in described.keys() - here
    }
    told = {name for name in running if name.startswith(("TEMPORAL_", "POSTGRES_", "SQL_", "DB", "BIND_"))}
    assert told - described.keys() == added


def test_the_temporal_server_is_healthy_while_it_answers(stack: Stack, wget: str) -> None:
    _, http_port, *_ = stack.temporal.ports
    (closed,) = choose(1)
    service = SERVICES["temporal"]
    assert is_healthy(service, PATH=wget, BIND_ON_IP=LOOPBACK, FRONTEND_HTTP_PORT=str(http_port))
    assert not is_healthy(service, PATH=wget, BIND_ON_IP=LOOPBACK, FRONTEND_HTTP_PORT=str(closed))


def test_the_web_ui_is_healthy_while_it_answers(stack: Stack, wget: str) -> None:
    service = SERVICES["temporal-ui"]
    (closed,) = choose(1)
    assert is_healthy(service, PATH=wget, TEMPORAL_UI_PORT=stack.ui_url.rsplit(":", 1)[1])
    assert not is_healthy(service, PATH=wget, TEMPORAL_UI_PORT=str(closed))


def one_shot(name: str, stack: Stack, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run a one-shot service's command, its mount replaced by the folder that is mounted."""
    command = tuple(word.replace("/deploy/", f"{DEPLOY}/temporal/") for word in SERVICES[name].words)
    programs = stack.temporal.programs()
    return run(command, service=SERVICES[name], PATH=f"{programs}:{os.environ['PATH']}", **changed)


def test_the_schema_is_left_alone_where_it_is_there_already(stack: Stack) -> None:
    connection = stack.postgres.connection
    versions = "SELECT * FROM schema_update_history"
    before = stack.postgres.query("temporal", versions)
    ended = one_shot(
        "temporal-schema",
        stack,
        SQL_HOST=connection.host,
        SQL_PORT=str(connection.port),
        SQL_PASSWORD_FILE=str(stack.postgres.password_file),
    )
    assert ended.returncode == 0, ended.stderr
    assert stack.postgres.query("temporal", versions) == before


def test_a_schema_that_cannot_be_made_is_told_and_not_passed_over(stack: Stack, tmp_path: Path) -> None:
    wrong = tmp_path / "password"
    wrong.write_text("wrong")
    connection = stack.postgres.connection
    ended = one_shot(
        "temporal-schema",
        stack,
        SQL_HOST=connection.host,
        SQL_PORT=str(connection.port),
        SQL_PASSWORD_FILE=str(wrong),
    )
    assert ended.returncode != 0
    assert "password authentication failed" in ended.stdout + ended.stderr


def test_a_namespace_that_cannot_be_reached_is_told_and_not_passed_over(stack: Stack) -> None:
    (closed,) = choose(1)
    ended = one_shot("temporal-namespace", stack, TEMPORAL_ADDRESS=f"{LOOPBACK}:{closed}")
    assert ended.returncode != 0
    assert str(closed) in ended.stderr


def test_a_retention_that_is_none_is_told(stack: Stack) -> None:
    ended = one_shot("temporal-namespace", stack, TEMPORAL_ADDRESS=stack.address, TEMPORAL_RETENTION="soon")
    assert ended.returncode != 0
    assert "soon" in ended.stderr
