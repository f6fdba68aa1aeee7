"""Roles as processes of their own, on Kafka, PostgreSQL and chDB behind ClickHouse's HTTP interface."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from demo.smoke import request
from demo.smoke import run as smoke
from storage.control import ControlDatabase
from tests.api.process import run, serving
from tests.kafka.broker import Broker
from tests.storage.http_front import HttpFront

TRACE = "0af7651916cd43dd8448eb211c80319c"


def nobody() -> str:
    """The address of a ClickHouse server that is down."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://user:password@127.0.0.1:{closed.getsockname()[1]}"


def config_of(folder: Path, kafka: str, database: str, topic: str, clickhouse: str, dead_letters: str = "") -> Path:
    """Settings of the cluster form."""
    settings = {
        "kafka": {"bootstrap_servers": kafka, "topic": topic, "dead_letter_topic": dead_letters or topic, "partitions": 2},
        "clickhouse_url": f"{clickhouse}/tracewarden",
        "database_url": database,
        "auth": {"pepper": "0" * 64, "required": True},
    }
    file = folder / "tracewarden.yaml"
    file.write_text(json.dumps(settings))
    return file


def send(address: str, key: str) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    body = json.dumps(request(TRACE, time.time_ns())).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{address}/v1/traces", body, headers), timeout=30) as answer:
        return answer.status


@pytest.mark.kafka
@pytest.mark.postgres
async def test_receiving_goes_on_while_the_trace_store_is_down(
    tmp_path: Path, kafka_broker: Broker, kafka_topic: str, postgres_database: str
) -> None:
    config = config_of(tmp_path, kafka_broker.bootstrap, postgres_database, kafka_topic, nobody())
    early = run("ingest", "--config", str(config), "--port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0")
    assert early.returncode == 1
    assert early.stderr.startswith("tracewarden: the control database has no schema yet")

    control = ControlDatabase(postgres_database.replace("postgresql://", "postgresql+psycopg://"))
    await control.migrate()
    await control.close()
    made = run("keys", "create", "--config", str(config), "--name", "gateway", "--scope", "ingest")
    with serving(tmp_path / "data", "--config", str(config), role="ingest") as served:
        assert send(served.addresses["otlp-http"], made.stdout.strip()) == 200
        with urllib.request.urlopen(f"{served.addresses['api']}/readyz", timeout=30) as answer:
            assert json.loads(answer.read())["dependencies"] == {"control": "ok", "log": "ok"}
        assert served.stop() == 0


@pytest.mark.kafka
@pytest.mark.postgres
async def test_a_writer_does_not_start_without_its_store(
    tmp_path: Path, kafka_broker: Broker, kafka_topic: str, postgres_database: str
) -> None:
    config = config_of(tmp_path, kafka_broker.bootstrap, postgres_database, kafka_topic, nobody())
    control = ControlDatabase(postgres_database)
    await control.migrate()
    await control.close()
    done = run("write", "--config", str(config), "--port", "0")
    assert done.returncode == 1
    assert done.stderr == "tracewarden: the trace store does not answer: check clickhouse_url, and that the server runs\n"


@pytest.mark.real_kafka
@pytest.mark.kafka
@pytest.mark.postgres
def test_the_roles_of_a_cluster_carry_a_trace_from_one_to_the_other(
    tmp_path: Path, kafka_broker: Broker, postgres_database: str
) -> None:
    """Everything `docker-compose.yml` starts, as processes: migrate, then a receiver, a writer, alerting and the API."""
    front = HttpFront(tmp_path / "chdb")
    front.start()
    try:
        topic = f"roles-{tmp_path.parent.name}-{tmp_path.name}"
        config = config_of(tmp_path, kafka_broker.bootstrap, postgres_database, topic, front.url, f"{topic}-dead")
        migrated = run("migrate", "--config", str(config))
        assert migrated.returncode == 0, migrated.stderr
        key = run("keys", "create", "--config", str(config), "--name", "smoke", "--scope", "ingest", "--scope", "read")
        given = ("--config", str(config))
        with (
            serving(tmp_path / "ingest", *given, role="ingest") as ingest,
            serving(tmp_path / "write", *given, role="write") as write,
            serving(tmp_path / "alert", *given, role="alert") as alert,
            serving(tmp_path / "api", *given, role="api") as api,
        ):
            smoke(ingest.addresses["otlp-http"], api.addresses["api"], key.stdout.strip(), 60)
            assert [served.stop() for served in (api, alert, write, ingest)] == [0, 0, 0, 0]
    finally:
        front.kill9()
