"""What is got beside Python: named as it is known, and of the versions that docker-compose.yml names."""

from __future__ import annotations

import re

import pytest

from batchmail.settings import CHECKOUT
from scripts.server.compose import interpolated, read_services
from scripts.tools import TOOLS
from scripts.tools.go import MAILPIT_VERSION, TEMPORAL_UI_VERSION, TEMPORAL_VERSION


def test_what_the_makefile_gets_is_known() -> None:
    told = (CHECKOUT / "Makefile").read_text().replace("\\\n", " ")
    wanted = [name for line in re.findall(r"scripts\.tools ([^>\n]*)", told) for name in line.split()]
    assert "temporal-server" in wanted
    assert set(wanted) <= TOOLS.keys()


@pytest.mark.parametrize(
    ("service", "image"),
    [
        ("temporal", f"temporalio/server:{TEMPORAL_VERSION}"),
        ("temporal-schema", f"temporalio/admin-tools:{TEMPORAL_VERSION}"),
        ("temporal-namespace", f"temporalio/admin-tools:{TEMPORAL_VERSION}"),
        ("temporal-ui", f"temporalio/ui:{TEMPORAL_UI_VERSION}"),
        ("mailpit", f"axllent/mailpit:v{MAILPIT_VERSION}"),
    ],
)
def test_what_runs_without_containers_is_of_the_version_of_its_image(service: str, image: str) -> None:
    assert read_services({})[service].image == image


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("$SET-$$SET", "there-$SET"),
        ("${SET}${UNSET}${EMPTY}", "there"),
        ("${SET:-else}", "there"),
        ("${UNSET:-else}", "else"),
        ("${EMPTY:-else}", "else"),
        ("${EMPTY-else}", ""),
        ("${UNSET-else}", "else"),
        ("${SET:+then}${UNSET:+then}${EMPTY:+then}", "then"),
        ("${EMPTY+then}", "then"),
        ("$${SET:-$$(hostname)}", "${SET:-$(hostname)}"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, result: str) -> None:
    assert interpolated(text, {"SET": "there", "EMPTY": ""}) == result


def test_a_variable_that_must_be_set_is_asked_for() -> None:
    with pytest.raises(ValueError, match="PASSWORD is not set: name it"):
        interpolated("${PASSWORD:?name it}", {"PASSWORD": ""})
