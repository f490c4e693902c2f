"""The example for Kubernetes: valid for its published schemas, and true to the worker that it runs."""

from __future__ import annotations

import copy
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft4Validator

from batchmail.settings import CHECKOUT, Settings, duration, listen_address
from tests.dockerfile import read_stages

FOLDER = CHECKOUT / "deploy" / "kubernetes"
SCHEMAS = CHECKOUT / "tests" / "schemas"

Document = dict[str, Any]

FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
DOCUMENTS: list[Document] = [found for path in FILES for found in yaml.safe_load_all(path.read_text())]
KUSTOMIZATIONS = sorted(FOLDER.rglob("kustomization.yaml"))
KEDA: dict[str, dict[str, Document]] = {
    scaler["type"]: {parameter["name"]: parameter for parameter in scaler["parameters"]}
    for scaler in json.loads((SCHEMAS / "keda-scalers.json").read_text())
}

ENVIRONMENT = dict(
    line.split("=", 1)
    for line in (FOLDER / "worker" / "worker.env").read_text().splitlines()
    if line and not line.startswith("#")
)


def strict(schema: Any) -> Any:
    """The schema, with every field refused that it does not name, as `kubectl --validate=strict` does."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(each) for name, each in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


KUBERNETES = json.loads((SCHEMAS / "kubernetes.json").read_text())
DEFINITIONS = strict(KUBERNETES["$defs"])
METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def wrong(document: Document) -> list[str]:
    """What Kubernetes would have against it."""
    name = KUBERNETES["kinds"].get(f"{document['apiVersion']} {document['kind']}")
    if name is None:
        return [f"there is no {document['kind']} in {document['apiVersion']}"]
    rules = ((name, document), (METADATA, document["metadata"]))
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for definition, given in rules
        for error in Draft4Validator({"$ref": f"#/$defs/{definition}", "$defs": DEFINITIONS}).iter_errors(
            given
        )
    ]


def the(kind: str) -> Document:
    """The one document of this kind."""
    (found,) = (document for document in DOCUMENTS if document["kind"] == kind)
    return found


DEPLOYMENT = the("Deployment")
POD = DEPLOYMENT["spec"]["template"]
(WORKER,) = POD["spec"]["containers"]
PORTS = {port["name"]: port["containerPort"] for port in WORKER["ports"]}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda found: found["kind"])
def test_each_document_is_valid(document: Document) -> None:
    assert wrong(document) == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", "spec.template.spec.containers.0.livenessProbe.httpget", {}),
        ("Deployment", "spec.template.spec.containers.0.ports.0.containerPort", "8086"),
        ("Deployment", "spec.template.spec.terminationGracePeriod", 90),
        ("Deployment", "metadata.label", {}),
        ("PodDisruptionBudget", "spec.maxUnavailable", {}),
        ("NetworkPolicy", "spec.ingress.0.port", []),
        ("HorizontalPodAutoscaler", "spec.maxReplicas", None),
        ("ScaledObject", "spec.triggers.0.metadat", {}),
        (
            "ScaledObject",
            "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.policies.0.value",
            "1",
        ),
        ("ScaledObject", "metadata.label", {}),
    ],
)
def test_the_schemas_find_what_is_misspelt_or_of_the_wrong_type(kind: str, path: str, value: object) -> None:
    document = copy.deepcopy(the(kind))
    *way, last = path.split(".")
    place: Any = document
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    place[last] = value
    assert wrong(document)


@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_each_kustomization_names_every_file_beside_it(file: Path) -> None:
    named = yaml.safe_load(file.read_text())
    beside = {path.name for path in file.parent.glob("*.yaml")} - {file.name}
    assert {name for name in named["resources"] if not name.startswith("../")} == beside
    for name in named["resources"]:
        assert (file.parent / name).exists(), name


def test_the_settings_are_settings() -> None:
    ours = {name.upper() for name in Settings.model_fields}
    others = {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "AWS_REGION"}
    assert ENVIRONMENT.keys() <= ours | others
    for name, value in ENVIRONMENT.items():
        if name in ours:
            assert value
            Settings.model_validate({name.lower(): value})


def test_no_secret_is_among_the_files() -> None:
    assert not [document for document in DOCUMENTS if document["kind"] == "Secret"]
    assert not [name for name in ENVIRONMENT if re.search("PASSWORD|KEY|TOKEN", name)]


def test_it_runs_the_image_that_the_dockerfile_describes() -> None:
    image = read_stages()[-1]
    assert tuple(WORKER["args"][:2]) == image.last("CMD").words
    user, _, group = image.last("USER").text.partition(":")
    assert POD["spec"]["securityContext"]["runAsUser"] == int(user)
    assert POD["spec"]["securityContext"]["runAsGroup"] == int(group)
    (named,) = yaml.safe_load((FOLDER / "worker" / "kustomization.yaml").read_text())["images"]
    assert named["name"] == WORKER["image"]
    version = (CHECKOUT / "pyproject.toml").read_text().partition('\nversion = "')[2].partition('"')[0]
    assert named["newTag"] == version


def test_the_ports_are_those_of_the_settings() -> None:
    for name, setting in (("health", "BATCH_HEALTH_ADDRESS"), ("metrics", "BATCH_METRICS_ADDRESS")):
        assert listen_address(ENVIRONMENT[setting]) == ("0.0.0.0", PORTS[name]), (
            "reached from outside the pod"
        )
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert WORKER[probe]["httpGet"]["port"] == "health"
    assert WORKER["livenessProbe"]["httpGet"]["path"] == "/live"
    assert WORKER["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_a_worker_that_leaves_has_more_time_than_it_takes() -> None:
    grace = duration(ENVIRONMENT["BATCH_GRACE"])
    assert isinstance(grace, timedelta)
    assert POD["spec"]["terminationGracePeriodSeconds"] >= 2 * grace.total_seconds()


def test_a_worker_may_do_nothing_that_it_need_not() -> None:
    """What the namespace's label `restricted` demands, and a file system that cannot be written."""
    assert WORKER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["spec"]["securityContext"]["runAsNonRoot"] is True
    assert POD["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert the("ServiceAccount")["automountServiceAccountToken"] is False


def test_every_selector_selects_the_worker() -> None:
    labels = POD["metadata"]["labels"]
    (spread,) = POD["spec"]["topologySpreadConstraints"]
    for selector in (
        DEPLOYMENT["spec"]["selector"],
        spread["labelSelector"],
        the("PodDisruptionBudget")["spec"]["selector"],
        the("NetworkPolicy")["spec"]["podSelector"],
    ):
        assert selector["matchLabels"] == labels
    for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
        assert the(kind)["spec"]["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]


def test_only_the_metrics_are_reached_and_only_by_who_watches() -> None:
    (rule,) = the("NetworkPolicy")["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == ["metrics"]
    assert rule["from"]


def test_the_autoscaler_asks_what_kedas_scalers_know() -> None:
    spec = the("ScaledObject")["spec"]
    for trigger in spec["triggers"]:
        known = KEDA[trigger["type"]]
        for name, value in trigger["metadata"].items():
            parameter = known[name.removesuffix("FromEnv")]
            assert "deprecated" not in parameter, name
            assert isinstance(value, str), f"{name}: KEDA takes only texts"
            if name.endswith("FromEnv"):
                assert parameter["envVariableReadable"]
                assert value in ENVIRONMENT
        demanded = {
            name
            for name, parameter in known.items()
            if not parameter.get("optional") and "default" not in parameter
        }
        assert demanded <= {name.removesuffix("FromEnv") for name in trigger["metadata"]}


def test_the_autoscaler_counts_the_slices_that_wait_and_those_that_run() -> None:
    spec = the("ScaledObject")["spec"]
    names = [trigger["name"] for trigger in spec["triggers"]]
    modifiers = spec["advanced"]["scalingModifiers"]
    assert sorted(re.findall(r"\w+", modifiers["formula"])) == sorted(names)
    assert int(modifiers["target"]) < int(ENVIRONMENT["BATCH_SLICES"]), "a full worker asks for another"
    (query,) = (
        trigger["metadata"]["query"] for trigger in spec["triggers"] if trigger["type"] == "prometheus"
    )
    shown = (CHECKOUT / "docs" / "operations.md").read_text()
    for metric in re.findall(r"batchmail_\w+", query):
        assert f"| `{metric}` |" in shown
    assert f'task_queue="{ENVIRONMENT["BATCH_TASK_QUEUE"]}"' in query


def test_two_autoscalers_do_not_fight_over_the_number_of_workers() -> None:
    for file in KUSTOMIZATIONS:
        if file.parent.name.startswith("autoscaling"):
            (patch,) = yaml.safe_load(file.read_text())["patches"]
            assert yaml.safe_load(patch["patch"]) == [{"op": "remove", "path": "/spec/replicas"}]
            assert patch["target"] == {"kind": "Deployment", "name": DEPLOYMENT["metadata"]["name"]}


def test_a_build_has_its_version_wherever_it_is_told_from_another() -> None:
    text = (FOLDER / "versioned" / "kustomization.yaml").read_text()
    build = yaml.safe_load(text)
    (image,) = build["images"]
    (labels,) = build["labels"]
    (merged,) = build["configMapGenerator"]
    version = image["newTag"]
    assert labels["pairs"] == {"app.kubernetes.io/version": version}
    assert labels["includeSelectors"], "else each build's workers would count as the other's"
    assert build["nameSuffix"] == f"-{version.replace('.', '-')}"
    assert f"BATCH_BUILD_ID={version}" in merged["literals"]
    assert len(re.findall(re.escape(version) + "|" + re.escape(build["nameSuffix"]), text)) == 4
    for line in merged["literals"]:
        assert line.partition("=")[0].lower() in Settings.model_fields
