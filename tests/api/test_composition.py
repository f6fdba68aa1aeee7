"""The files of the cluster form: what they name exists, and what they set is known."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.configuration import unknown_variables
from schemas.settings import load_settings

ROOT = Path(__file__).parents[2]
ROLES = ("migrate", "ingest", "write", "alert", "api")
SERVERS = ("kafka", "clickhouse", "postgres")


@pytest.fixture(scope="module")
def composition() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


@pytest.mark.parametrize("name", [*SERVERS, *ROLES])
def test_each_part_has_limits(composition: Any, name: str) -> None:
    service = composition["services"][name]
    assert service["mem_limit"]
    assert service["ulimits"]["nofile"]["soft"] >= 65536


@pytest.mark.parametrize("name", [*SERVERS, *ROLES[1:]])
def test_each_part_that_stays_has_a_health_check_and_starts_again(composition: Any, name: str) -> None:
    service = composition["services"][name]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ROLES[1:])
def test_roles_wait_for_the_migration_and_the_servers(composition: Any, name: str) -> None:
    waits = composition["services"][name]["depends_on"]
    assert waits["migrate"] == {"condition": "service_completed_successfully"}
    assert all(waits[server] == {"condition": "service_healthy"} for server in SERVERS)


def test_what_the_roles_are_given_are_settings(composition: Any) -> None:
    for name in (*ROLES, "smoke"):
        assert unknown_variables(composition["services"][name]["environment"]) == []


def test_no_secret_stands_in_the_file(composition: Any) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"(?i)(password|pepper|secret)\w*: (?!/run/secrets/)['\"]?\w", text.replace("secrets: [", ""))
    assert set(composition["secrets"]) == {
        "clickhouse_password",
        "clickhouse_url",
        "postgres_password",
        "database_url",
        "pepper",
    }


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl was not found")
def test_the_secrets_of_the_guide_make_settings(tmp_path: Path, composition: Any) -> None:
    guide = (ROOT / "docs" / "cluster.md").read_text()
    found = re.search(r"```sh\n(.*?)```", guide, re.DOTALL)
    assert found
    subprocess.run(["sh", "-euc", found.group(1)], cwd=tmp_path, check=True, timeout=60)
    made = tmp_path / "secrets"
    assert {file.name for file in made.iterdir()} == set(composition["secrets"])
    assert made.stat().st_mode & 0o077 == 0
    settings = load_settings(
        None,
        clickhouse_url_file=made / "clickhouse_url",
        database_url_file=made / "database_url",
        auth={"pepper_file": made / "pepper"},
        kafka={"bootstrap_servers": "kafka:9092"},
    )
    settings.require_cluster("api")


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose was not found")
@pytest.mark.parametrize("profile", [[], ["--profile", "smoke"]])
def test_docker_compose_accepts_the_file(profile: list[str]) -> None:
    subprocess.run(["docker-compose", *profile, "config", "--quiet"], cwd=ROOT, check=True, timeout=60)


def test_the_image_copies_every_package_that_is_installed() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for package in ("schemas", "storage", "ingest", "analyzers", "alerting", "api"):
        assert f"COPY {package} {package}\n" in dockerfile
        assert f"!{package}\n" in (ROOT / ".dockerignore").read_text()
