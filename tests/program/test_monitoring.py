"""Alert rules and dashboard ask for what workers really show, and a real Prometheus understands them."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from datetime import timedelta
from typing import Any

import pytest
import yaml
from temporalio.client import WorkflowFailureError

from scripts.tools import TOOLS
from tests.program.addresses import free
from tests.program.bench import CHECKOUT, Bench
from tests.program.prometheus_server import prometheus
from tests.relays import Behaviour, Fault

MONITORING = CHECKOUT / "deploy" / "monitoring"
ALERTS: list[dict[str, Any]] = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
OPERATIONS = (CHECKOUT / "docs" / "operations.md").read_text()
METRIC = re.compile(r"\b(?:batchmail|temporal)_\w+|\bup\b")
VARIABLES = {"$namespace": ".*", "$task_queue": ".*", "$__rate_interval": "1m", "$__range": "1h"}


def dashboard_queries() -> list[str]:
    """Every query of the dashboard, as Grafana sends it with everything selected."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    for name, value in VARIABLES.items():
        found = [query.replace(name, value) for query in found]
    return found


def promtool(*arguments: str) -> str:
    """What promtool says, which must be content."""
    said = subprocess.run([TOOLS["promtool"](), *arguments], capture_output=True, text=True, cwd=MONITORING)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


@pytest.mark.behaviour(
    Behaviour(
        faults=(
            Fault(stage="rcpt", reply="550 5.1.1 no such user", match="reader-1@"),
            Fault(stage="recorded", do="drop", match="reader-3@", times=1),
        )
    )
)
async def test_every_query_is_understood_and_asks_for_what_is_there(bench: Bench) -> None:
    address = free()
    await bench.worker(BATCH_METRICS_ADDRESS=str(address))

    def look() -> None:
        with prometheus(bench.folder, MONITORING / "prometheus.yml", address) as server:
            server.until('batchmail_recipients_total{outcome="sent"} > 0')
            server.until("temporal_activity_execution_failed_total > 0")
            server.until("count_over_time(temporal_activity_execution_failed_total[1m]) > 2")
            names = server.names()
            for query in [rule["expr"] for rule in ALERTS] + dashboard_queries():
                asked = set(METRIC.findall(query))
                assert asked, query
                assert asked <= names, f"no worker shows {asked - names}"
                server.query(query)
            # Not at a single moment: a look at a slow worker may fail, and then nothing is known.
            for query in dashboard_queries():
                if not query.endswith("> 0"):
                    server.until(query)
            server.until('sum(batchmail_recipients_total{outcome="sent"}) == 29')

    looking = asyncio.create_task(asyncio.to_thread(look))
    await (await bench.start(30, connections=3, retry_delays=(timedelta(seconds=0.2),))).result()
    missing = await bench.start_at(bench.folder / "none.csv")
    with pytest.raises(WorkflowFailureError):
        await missing.result()
    await looking


def test_prometheus_takes_configuration_and_rules_as_they_are() -> None:
    promtool("check", "config", "prometheus.yml")


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    promtool("test", "rules", "alerts_test.yml")
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    for rule in ALERTS:
        expected = [case["exp_alerts"] for case in cases if case["alertname"] == rule["alert"]]
        assert any(expected), f"no case in which {rule['alert']} fires"
        assert not all(expected), f"no case in which {rule['alert']} is silent"


def test_each_alert_says_what_is_the_matter_and_what_to_do() -> None:
    for rule in ALERTS:
        assert {"summary", "action"} <= rule["annotations"].keys(), rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_the_dashboard_can_be_imported_anywhere() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    sources = {
        json.dumps(holder["datasource"])
        for panel in DASHBOARD["panels"]
        if panel["type"] != "row"
        for holder in [panel, *panel["targets"]]
    }
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    for variable in re.findall(r"\$(?!__)(\w+)", " ".join(target_queries())):
        assert variable in variables


def target_queries() -> list[str]:
    """Every query of the dashboard, as it stands in the file."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def test_the_panels_lie_beside_each_other() -> None:
    taken: dict[tuple[int, int], int] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["id"]) == panel["id"], panel["title"]


def test_the_docs_have_a_section_for_each_alert() -> None:
    told = set(re.findall(r"^\| `(Batchmail\w+)` \|", OPERATIONS, re.MULTILINE))
    assert told == {rule["alert"] for rule in ALERTS}
