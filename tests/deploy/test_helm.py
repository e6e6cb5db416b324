"""The chart: what Kubernetes takes, and what it promises of workers that are stopped, moved, watched and scaled."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from livepromo.settings import load
from livepromo.streaming.lanes import CLOSE_S
from livepromo.telemetry.health import LAST_WORDS_S

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm"
WITH_ALL = "keda.enabled=true,podMonitor.enabled=true,keda.authentication=kafka"
variants = pytest.mark.parametrize(
    "values", ["replicas=3", WITH_ALL, "stages=decide\\,deliver,keda.enabled=true"], ids=["plain", "all", "stages"]
)


@cache
def helm() -> str:
    """Return the helm that `make helm` built, else the one on PATH."""
    version = re.findall(r"^HELM_VERSION := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[0]
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "livepromo", f"helm-{version}", "helm")
    found = str(cached) if cached.exists() else shutil.which("helm")
    assert found, "the chart is rendered by helm: `make helm` builds it"
    return found


def run(*words: str | Path, given: str | None = None) -> str:
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@cache
def rendered(values: str = "replicas=3") -> str:
    return run(helm(), "template", "shop", CHART, "--set", values)


def kinds(values: str = "replicas=3") -> dict[str, Any]:
    return {one["kind"]: one for one in yaml.safe_load_all(rendered(values)) if one}


def pod(kind: str) -> Any:
    return kinds()[kind]["spec"]["template"]["spec"]


def test_helm_finds_nothing_to_object_to() -> None:
    run(helm(), "lint", "--strict", CHART)


@variants
def test_kubernetes_knows_every_word_of_what_is_rendered(values: str) -> None:
    run(Path(sys.executable).with_name("kubernetes-validate"), "--strict", "-k", "1.34", "-", given=rendered(values))


@pytest.mark.parametrize("kind", ["StatefulSet", "Job"])
def test_a_container_has_no_rights_and_writes_nowhere_but_to_tmp(kind: str) -> None:
    (container,) = pod(kind)["containers"]
    assert pod(kind)["securityContext"]["runAsNonRoot"] is True
    assert pod(kind)["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")] == ["/tmp"]  # noqa: S108


def test_secrets_are_named_and_never_held() -> None:
    assert "Secret" not in kinds()
    (container,) = pod("StatefulSet")["containers"]
    settings = {one["name"]: one["value"] for one in container["env"]}
    assert "LIVEPROMO_REDIS" not in settings
    path = Path(settings["LIVEPROMO_REDIS_FILE"])
    (mount,) = (mount for mount in container["volumeMounts"] if mount["mountPath"] == str(path.parent))
    (volume,) = (volume for volume in pod("StatefulSet")["volumes"] if volume["name"] == mount["name"])
    assert volume["secret"]["secretName"] == "livepromo"
    assert volume["secret"]["items"] == [{"key": "redis", "path": path.name}]


def test_the_settings_of_the_chart_are_settings(tmp_path: Path) -> None:
    (container,) = pod("StatefulSet")["containers"]
    secret = tmp_path / "value"
    secret.write_text("redis://redis:6379/0")
    load({one["name"]: str(secret) if one["name"].endswith("_FILE") else one["value"] for one in container["env"]})


def test_a_worker_is_asked_for_progress_and_readiness_on_its_one_port() -> None:
    (container,) = pod("StatefulSet")["containers"]
    (port,) = container["ports"]
    assert {one["name"]: one["value"] for one in container["env"]}["LIVEPROMO_METRICS_PORT"] == str(port["containerPort"])
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": port["name"]}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}


def test_a_worker_has_longer_to_end_than_it_takes() -> None:
    drain_s = 10.0 + 10.0  # what has begun, and the takeovers that are under way: SliceFeed
    assert pod("StatefulSet")["terminationGracePeriodSeconds"] > drain_s + 2 * CLOSE_S + LAST_WORDS_S


def test_one_worker_at_a_time_is_moved() -> None:
    spec = kinds()["PodDisruptionBudget"]["spec"]
    assert spec["maxUnavailable"] == 1
    assert spec["selector"] == kinds()["StatefulSet"]["spec"]["selector"]


def test_init_runs_before_workers_and_needs_nothing_of_the_chart() -> None:
    job = kinds()["Job"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["init"]
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]


def test_the_network_is_closed_but_for_what_a_worker_needs() -> None:
    spec = kinds()["NetworkPolicy"]["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    (ingress,) = spec["ingress"]
    assert [port["port"] for port in ingress["ports"]] == ["metrics"]
    assert ingress["from"]
    open_to_all = [rule for rule in spec["egress"] if "to" not in rule]
    assert {port["port"] for rule in open_to_all for port in rule["ports"]} == {53, 9092, 6379}
    (https,) = (rule for rule in spec["egress"] if "to" in rule)
    assert "169.254.0.0/16" in https["to"][0]["ipBlock"]["except"]


def test_keda_scales_by_the_lag_of_every_stage_and_never_to_nothing() -> None:
    spec = kinds(WITH_ALL)["ScaledObject"]["spec"]
    assert "replicas" not in kinds(WITH_ALL)["StatefulSet"]["spec"]
    assert spec["scaleTargetRef"]["name"] == kinds(WITH_ALL)["StatefulSet"]["metadata"]["name"]
    assert spec["minReplicaCount"] >= 2
    settings = load({})
    groups = {
        settings.group("match"): settings.events,
        settings.group("decide"): settings.topic("candidates"),
        settings.group("deliver"): settings.topic("ledger"),
    }
    assert {one["metadata"]["consumerGroup"]: one["metadata"]["topic"] for one in spec["triggers"]} == groups
    for trigger in spec["triggers"]:
        assert trigger["metadata"]["offsetResetPolicy"] == "earliest", "else a group without a commit counts as having no lag"
        assert trigger["authenticationRef"] == {"name": "kafka"}


def test_keda_asks_for_the_stages_alone_that_workers_do() -> None:
    triggers = kinds("stages=decide\\,deliver,keda.enabled=true")["ScaledObject"]["spec"]["triggers"]
    assert [trigger["name"] for trigger in triggers] == ["decide", "deliver"]


@pytest.mark.parametrize(
    "values",
    [
        "replicas=0",
        "stages=matching",
        "env.KAFKA=x",
        "secretFiles.LIVEPROMO_REDIS_FILE.value=x",
        "terminationGracePeriodSeconds=10",
        "typo=1",
    ],
)
def test_values_that_cannot_be_right_are_refused(values: str) -> None:
    done = subprocess.run([helm(), "template", "shop", CHART, "--set", values], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr
