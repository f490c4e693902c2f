"""docker-compose.yml: a valid Compose file, closed to the outside, and safe to stop and to scale."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from batchmail.settings import CHECKOUT, Settings, duration
from scripts.server.compose import interpolated
from tests.dockerfile import read_stages

FILE = CHECKOUT / "docker-compose.yml"
SCHEMA = json.loads((CHECKOUT / "tests" / "schemas" / "compose-spec.json").read_text())

DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]

SET_UP_ONCE = {
    name for name, service in SERVICES.items() if service.get("restart", "").startswith("on-failure")
}
SERVING = SERVICES.keys() - SET_UP_ONCE


def wrong(document: object) -> list[str]:
    """What the specification has against it."""
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)]


def each_service(names: set[str]) -> pytest.MarkDecorator:
    """Run the test for each of these services."""
    return pytest.mark.parametrize("service", [SERVICES[name] for name in sorted(names)], ids=sorted(names))


def test_it_is_a_compose_file() -> None:
    assert wrong(DOCUMENT) == []


def test_the_schema_finds_a_misspelt_key_and_a_wrong_type() -> None:
    for broken in ({"imaeg": "postgres"}, {"image": "postgres", "stop_grace_period": []}):
        assert wrong({"services": {"postgres": broken}})


def test_every_variable_has_a_default() -> None:
    """`docker compose up` is all that somebody does who has no .env."""
    interpolated(FILE.read_text(), {})  # raises where one must be set
    bare = re.findall(r"(?<!\$)\$\{?(\w+)(?=\}|[^\w:{?+-])", re.sub(r"\$\$\{?\w+", "", FILE.read_text()))
    assert bare == []


@each_service(set(SERVICES))
def test_nothing_listens_beyond_this_machine(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert isinstance(port, str)
        assert port.startswith("127.0.0.1:"), port
    assert "network_mode" not in service


@each_service(set(SERVICES))
def test_images_are_pinned_to_a_release(service: dict[str, Any]) -> None:
    tag = service["image"].rpartition(":")[2]
    assert re.match(r"v?\d+\.\d+", tag), service["image"]


@each_service(SERVING)
def test_what_serves_says_whether_it_is_well_and_comes_back(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["restart"] == "unless-stopped"


def test_start_order_waits_for_health_and_for_set_up_done() -> None:
    for name, service in SERVICES.items():
        depends = service.get("depends_on", {})
        assert isinstance(depends, dict), f"{name}: a plain list waits for nothing"
        for other, how in depends.items():
            done = "service_completed_successfully" if other in SET_UP_ONCE else "service_healthy"
            assert how["condition"] == done, f"{name} depends on {other}"


def test_the_server_waits_for_its_schema_and_the_worker_for_its_namespace() -> None:
    def all_before(name: str) -> set[str]:
        found = set(SERVICES[name].get("depends_on", {}))
        return found.union(*map(all_before, found))

    assert {"postgres", "temporal-schema"} <= all_before("temporal")
    assert {"temporal", "temporal-namespace"} <= all_before("worker")


def test_no_secret_stands_in_the_file() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|PWD|SECRET|KEYS?(_|$)", variable) and not variable.endswith("_FILE"):
                pytest.fail(f"{name}: {variable}={value}")
    for secret in DOCUMENT["secrets"].values():
        assert secret.keys() == {"file"}


@pytest.mark.parametrize("setting", [name for name in Settings.model_fields if name.endswith("_file")])
def test_every_file_of_the_hosts_that_a_setting_names_reaches_the_worker_as_a_secret(setting: str) -> None:
    name, worker = setting.upper(), SERVICES["worker"]
    given = {name: "/host/file"}
    folder, _, secret = interpolated(worker["environment"][name], given).rpartition("/")
    assert folder == "/run/secrets"
    assert secret in worker["secrets"]
    assert interpolated(DOCUMENT["secrets"][secret]["file"], given) == "/host/file"
    assert interpolated(worker["environment"][name], {}) == ""


def test_the_files_that_it_names_are_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./") and source != "./var":
                assert (CHECKOUT / source).is_dir(), volume
            elif not source.startswith("."):
                assert source in DOCUMENT["volumes"], volume
    for secret in DOCUMENT["secrets"].values():
        assert Path(CHECKOUT, interpolated(secret["file"], {})).exists()


def test_volumes_of_containers_have_names() -> None:
    """What Compose drops with the container would be lost with it."""
    assert "postgres-data:/var/lib/postgresql/data" in SERVICES["postgres"]["volumes"]


def test_the_worker_can_be_scaled() -> None:
    assert not SERVICES["worker"].keys() & {"container_name", "ports", "hostname"}


def test_the_worker_has_more_time_to_stop_than_it_takes() -> None:
    grace = duration(SERVICES["worker"]["stop_grace_period"])
    assert grace > 2 * Settings.model_fields["batch_grace"].default


def test_the_worker_is_built_by_our_dockerfile_and_checked_as_it_says() -> None:
    image = read_stages()[-1]
    worker = SERVICES["worker"]
    assert worker["build"] == "."
    check = worker.get("healthcheck", {}).get("test", ["CMD"])[1:]
    assert check in ([], json.loads(image.last("HEALTHCHECK").text.removeprefix("CMD ")))
    version = (CHECKOUT / "pyproject.toml").read_text().partition('\nversion = "')[2].partition('"')[0]
    assert worker["image"] == f"batchmail:{version}"


def test_the_worker_gives_its_privileges_up() -> None:
    worker = SERVICES["worker"]
    assert worker["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in worker["security_opt"]
    assert worker["read_only"] is True
    assert "privileged" not in worker
