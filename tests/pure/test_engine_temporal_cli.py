"""Where Temporal's command line is looked for. The programs found here are scripts that answer like it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batchmail.engine.temporal_cli import VERSION, cache_folder, find_temporal, is_temporal
from batchmail.errors import EngineError, SettingsError

TEMPORAL = "echo 'temporal version 1.5.1 (Server 1.29.1)'"


def program(path: Path, script: str = TEMPORAL) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Temporal and without the internet: `bin` is its PATH, `cache` the user's cache."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("GOPROXY", "off")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    return tmp_path


def cached(machine: Path) -> Path:
    return machine / "cache" / "batchmail" / f"temporal-{VERSION}" / "temporal"


def test_the_setting_comes_before_path(machine: Path) -> None:
    program(machine / "bin" / "temporal")
    configured = program(machine / "mine" / "temporal-of-mine")
    assert find_temporal(configured, print) == configured


@pytest.mark.parametrize("script", [None, "echo 'gnome-temporal 3'", "exit 1"])
def test_a_setting_that_names_another_program_is_refused(machine: Path, script: str | None) -> None:
    configured = machine / "mine" / "temporal"
    if script is not None:
        program(configured, script)
    with pytest.raises(SettingsError, match=r"^BATCH_TEMPORAL_CLI: .* is not Temporal's command line"):
        find_temporal(configured, print)


def test_path_comes_before_the_cache(machine: Path) -> None:
    program(cached(machine))
    on_path = program(machine / "bin" / "temporal")
    assert find_temporal(None, print) == on_path


def test_another_program_of_this_name_on_path_is_passed_over(machine: Path) -> None:
    program(machine / "bin" / "temporal", "echo 'something else called temporal'")
    ours = program(cached(machine))
    assert find_temporal(None, print) == ours


def test_go_install_fills_the_cache_once_however_many_ask(machine: Path) -> None:
    builds = machine / "builds"
    program(
        machine / "bin" / "go",
        f'echo "$*" >> {builds}\n'
        f'printf "%s\\n" "#!/bin/sh" "{TEMPORAL}" > "$GOBIN/temporal"\n'
        'chmod 755 "$GOBIN/temporal"',
    )
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: find_temporal(None, print), range(3)))
    assert set(found) == {cached(machine)}
    assert builds.read_text() == f"install github.com/temporalio/cli/cmd/temporal@v{VERSION}\n"
    left = sorted(path.name for path in cached(machine).parent.iterdir())
    assert left == ["install.lock", "temporal"]


def test_where_it_cannot_be_had_everything_tried_is_named(machine: Path) -> None:
    program(machine / "bin" / "go", "echo 'no such module' >&2; exit 1")
    with pytest.raises(EngineError) as caught:
        find_temporal(None, print)
    text = str(caught.value)
    for tried in (
        "BATCH_TEMPORAL_CLI",
        "on PATH",
        str(cached(machine)),
        "download (",
        "go install (no such module",
    ):
        assert tried in text
    assert not cached(machine).exists()


def test_an_install_that_is_given_up_leaves_no_process_and_no_half_program(machine: Path) -> None:
    given_up = threading.Event()
    running = machine / "running"
    program(
        machine / "bin" / "go",
        f"mkfifo {running}; echo up > {running}; exec sleep 600",
    )
    with ThreadPoolExecutor(1) as pool:
        finding = pool.submit(find_temporal, None, print, given_up)
        while not running.exists() and not finding.done():
            pass
        assert running.read_text() == "up\n"
        given_up.set()
        with pytest.raises(EngineError, match="Given up"):
            finding.result()
    assert [path.name for path in cached(machine).parent.iterdir()] == ["install.lock"]


def test_the_cache_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "batchmail"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder().is_relative_to(tmp_path)


def test_a_folder_is_no_temporal(tmp_path: Path) -> None:
    assert not is_temporal(tmp_path)
