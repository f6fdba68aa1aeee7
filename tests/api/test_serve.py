"""A whole process: how it starts, refuses to start, stops and comes back."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from demo.smoke import run as smoke
from tests.api.process import FREE_PORTS, run, serving
from tests.kafka.broker import Broker


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        body = answer.read()
    return json.loads(body) if answer.headers.get_content_type() == "application/json" else body.decode()


def send(url: str, item: dict[str, Any]) -> None:
    request = urllib.request.Request(url, json.dumps(item).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=30).close()


def test_it_prints_each_listener_says_ready_answers_and_stops_with_0(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        assert set(served.addresses) == {"api", "otlp-http", "otlp-grpc"}
        api = served.addresses["api"]
        assert get(f"{api}/healthz") == {"status": "alive"}
        assert get(f"{api}/readyz")["ready"] is True
        assert "tracewarden_bytes_in_flight" in get(f"{api}/metrics")

        second = run("serve", "--data-dir", str(tmp_path / "data"), *FREE_PORTS)
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1
        assert f"pid {served.process.pid}" in second.stderr
        assert "pass another --data-dir" in second.stderr

        port = api.rpartition(":")[2]
        clash = run("serve", "--data-dir", str(tmp_path / "other"), *FREE_PORTS, "--port", port)
        assert clash.returncode == 1
        assert clash.stderr == f"tracewarden: port {port} is in use: stop the other process or pass --port\n"

        doctor = run("doctor", "--data-dir", str(tmp_path / "data"), "--port", port)
        assert doctor.returncode == 0, doctor.stdout
        assert "process: store" in doctor.stdout

        assert served.stop(signal.SIGTERM) == 0
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_after_kill_9_it_starts_again_on_the_same_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as served:
        made = run("keys", "create", "--data-dir", str(data), "--name", "gateway", "--scope", "ingest", "--json")
        assert made.returncode == 0, made.stderr
        assert served.stop(signal.SIGKILL) == -signal.SIGKILL
    with serving(data) as served:
        assert get(f"{served.addresses['api']}/readyz")["ready"] is True
        listed = run("keys", "list", "--data-dir", str(data), "--json")
        assert [key["id"] for key in json.loads(listed.stdout)] == [json.loads(made.stdout)["id"]]
        assert served.stop(signal.SIGINT) == 0


def test_after_the_store_was_emptied_what_comes_is_analyzed(tmp_path: Path) -> None:
    data, config = tmp_path / "data", tmp_path / "tracewarden.yaml"
    config.write_text("analysis: {analyzers: [quality], poll_s: 0.1}\n")
    for _ in range(2):
        with serving(data, "--config", str(config)) as served:
            item = {"operation": "chat", "started_at": time.time_ns() // 10**6, "input": "a", "output": uuid4().hex}
            send(f"{served.addresses['otlp-http']}/v1/batch", item)
            deadline = time.monotonic() + 30
            while not (coverage := get(f"{served.addresses['api']}/v1/status")["analyzers"][0]["coverage"]):
                assert time.monotonic() < deadline, "it is not analyzed"
                time.sleep(0.1)
            assert coverage["looked_at"] == 1
            assert served.stop(signal.SIGTERM) == 0
        shutil.rmtree(data / "chdb")


@contextmanager
def unfinished_request(address: str) -> Iterator[None]:
    """A sender that announces a body and never sends the rest."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sender:
        sender.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        sender.sendall(b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n")
        assert sender.recv(64).startswith(b"HTTP/1.1 100")
        sender.sendall(b"{")
        yield


def test_a_sender_that_never_ends_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served, unfinished_request(served.addresses["otlp-http"]):
        assert served.stop(signal.SIGTERM) == 0
    assert "Traceback" not in (tmp_path / "data.log").read_text()


def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served, unfinished_request(served.addresses["otlp-http"]):
        served.process.send_signal(signal.SIGTERM)
        while "stopping" not in (tmp_path / "data.log").read_text():
            assert served.process.poll() is None
            time.sleep(0.01)
        assert served.stop(signal.SIGTERM) == 128 + signal.SIGTERM


def test_a_role_of_its_own_says_what_it_needs() -> None:
    done = run("write")
    assert done.returncode == 2
    assert "set kafka.bootstrap_servers, clickhouse_url, database_url" in done.stderr
    assert "tracewarden serve" in done.stderr


def test_a_doctor_finds_what_is_wrong_and_names_the_fix(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        config = tmp_path / "tracewarden.yaml"
        channel = {"type": "slack", "name": "ops", "url": "https://169.254.169.254/hook"}
        config.write_text(json.dumps({"alerting": {"channels": [channel], "rules_file": str(tmp_path / "none.yaml")}}))
        data = tmp_path / "data"
        done = run("doctor", "--data-dir", str(data), "--config", str(config), *FREE_PORTS, "--otlp-http-port", port)
    assert done.returncode == 1
    found = {line.split()[1]: line for line in done.stdout.splitlines() if line.startswith("WRONG")}
    assert set(found) == {"otlp_http_port", "channel", "rules_file"}
    assert "pass --otlp-http-port" in found["otlp_http_port"]
    assert "outgoing.allowed_networks" in found["channel"]
    assert "3 of" in done.stdout.splitlines()[-1]


def test_a_doctor_says_which_servers_do_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    config = tmp_path / "tracewarden.yaml"
    config.write_text(
        json.dumps(
            {
                "clickhouse_url": f"http://user:hidden-1@127.0.0.1:{port}/tracewarden",
                "database_url": f"postgresql://user:hidden-2@127.0.0.1:{port}/tracewarden",
                "kafka": {"bootstrap_servers": f"127.0.0.1:{port}"},
            }
        )
    )
    done = run("doctor", "--data-dir", str(tmp_path / "data"), "--config", str(config), *FREE_PORTS)
    assert done.returncode == 1
    wrong = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("WRONG")}
    assert {"store", "control", "kafka", "secrets"} <= wrong
    assert "hidden" not in done.stdout + done.stderr


@pytest.mark.kafka
@pytest.mark.real_kafka
def test_with_a_log_on_kafka_spans_travel_through_it(tmp_path: Path, kafka_broker: Broker) -> None:
    mark = uuid4().hex
    config = tmp_path / "tracewarden.yaml"
    kafka = {
        "topic": f"traces-{mark}",
        "dead_letter_topic": f"dead-{mark}",
        "consumer_group": f"writer-{mark}",
        "partitions": 2,
    }
    config.write_text(json.dumps({"kafka": kafka | {"bootstrap_servers": kafka_broker.bootstrap}}))
    with serving(tmp_path / "data", "--config", str(config)) as served:
        smoke(served.addresses["otlp-http"], served.addresses["api"], None, timeout_s=60)
        assert get(f"{served.addresses['api']}/readyz")["dependencies"]["log"] == "ok"
        assert served.stop() == 0
