"""Roles as processes of their own, as far as they go without a ClickHouse server."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from demo.smoke import request
from storage.control import ControlDatabase
from tests.api.process import run, serving
from tests.kafka.broker import Broker

TRACE = "0af7651916cd43dd8448eb211c80319c"


def config_of(folder: Path, kafka: str, database: str, topic: str) -> Path:
    """Settings of the cluster form, with a ClickHouse server that is down."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = {
        "kafka": {"bootstrap_servers": kafka, "topic": topic, "dead_letter_topic": topic},
        "clickhouse_url": f"http://user:password@127.0.0.1:{port}/tracewarden",
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
    config = config_of(tmp_path, kafka_broker.bootstrap, postgres_database, kafka_topic)
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
    config = config_of(tmp_path, kafka_broker.bootstrap, postgres_database, kafka_topic)
    control = ControlDatabase(postgres_database)
    await control.migrate()
    await control.close()
    done = run("write", "--config", str(config), "--port", "0")
    assert done.returncode == 1
    assert done.stderr == "tracewarden: the trace store does not answer: check clickhouse_url, and that the server runs\n"
