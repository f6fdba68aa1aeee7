"""Kafka-protocol brokers for the tests: Apache Kafka itself, librdkafka's mock cluster, or one already there.

`choose_broker` says which one this machine gets and why, `open_broker` starts it.
"""

import base64
import os
import random
import re
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from confluent_kafka import Producer

from tests.kafka import topics
from tests.kafka.process import TetheredProcess

HOST = "127.0.0.1"
JARS = Path(__file__).parents[2] / ".kafka" / "libs"
JAVA_NEEDED = 17
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
MOCK_PARTITIONS = 4
INSTALL = "install Java and Maven (Debian: apt-get install default-jre-headless maven), then run make kafka-jars"

PROPERTIES = """\
node.id=1
process.roles=broker,controller
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
controller.quorum.bootstrap.servers={host}:{controller_port}
log.dirs={log_dir}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A killed broker is let back in only when its session has expired: 4 s with these, 12 s with the defaults.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


class BrokerError(Exception):
    """A broker could not be started or reached; the message says what to do about it."""


class Broker(Protocol):
    """What a test needs of any broker. Addresses are `host:port`."""

    @property
    def bootstrap(self) -> str: ...

    def create_topic(self, name: str, partitions: int) -> None: ...

    def delete_topic(self, name: str) -> None: ...

    def stop(self) -> None: ...


class KafkaBroker:
    """One node of Apache Kafka (KRaft, broker and controller in one) on loopback, with its data in `data_dir`.

    The port stays the same for the life of the object, so clients find a restarted broker again. The calls
    block; from a coroutine use `asyncio.to_thread(broker.restart)`.
    """

    def __init__(self, data_dir: Path, port: int | None = None, jars: Path = JARS) -> None:
        self.data_dir = data_dir.absolute()
        self._port = port or free_port()
        self._jars = jars
        self._process: TetheredProcess | None = None

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        """Of the JVM, for signals such as SIGSTOP; raises BrokerError when the broker does not run."""
        return self._running().pid

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once the broker serves; raises BrokerError with the end of its log."""
        if not _is_free(self._port):
            raise BrokerError(f"port {self._port} is in use: stop the other process or pass --port")
        self._format()
        self._process = TetheredProcess(self._java("-Xmx512m", "kafka.Kafka", str(self._config)), self._log)
        try:
            self._wait_until_ready(time.monotonic() + timeout_s)
        except BaseException:
            self.kill9()
            raise

    def stop(self) -> None:
        """A clean shutdown; does nothing when the broker does not run."""
        if self._process is not None:
            self._process.terminate(STOP_TIMEOUT_S)
            self._process = None

    def kill9(self) -> None:
        """SIGKILL, as a crash would; the data stay for `restart`."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        """Start again on the same port and data, stopping cleanly first if the broker runs."""
        self.stop()
        self.start()

    def wait(self) -> BrokerError:
        """Block until the broker ends by itself, which it should not; returns what to report."""
        return self._failure(f"ended with status {self._running().wait()}")

    def create_topic(self, name: str, partitions: int) -> None:
        topics.create_topic(self.bootstrap, name, partitions)

    def delete_topic(self, name: str) -> None:
        topics.delete_topic(self.bootstrap, name)

    @property
    def _config(self) -> Path:
        return self.data_dir / "server.properties"

    @property
    def _log(self) -> Path:
        return self.data_dir / "broker.log"

    def _java(self, option: str, *command: str) -> list[str]:
        return ["java", option, "-Dorg.apache.logging.log4j.level=WARN", "-cp", f"{self._jars}/*", *command]

    def _format(self) -> None:
        """Write the configuration, and on the first start give the data directory its cluster id."""
        log_dir = self.data_dir / "log"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        controller_port = free_port(but=self._port)
        self._config.write_text(PROPERTIES.format(host=HOST, port=self._port, controller_port=controller_port, log_dir=log_dir))
        if not (log_dir / "meta.properties").exists():
            self._run_storage_tool()

    def _run_storage_tool(self) -> None:
        arguments = ["format", "-t", _cluster_id(), "-c", str(self._config), "--standalone"]
        command = self._java("-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", *arguments)
        process = TetheredProcess(command, self._log)
        try:
            status = process.wait(START_TIMEOUT_S)
        finally:
            process.kill()
        if status != 0:
            raise self._failure(f"could not format its data directory (status {status})")

    def _wait_until_ready(self, deadline: float) -> None:
        process = self._running()
        while not (_is_listening(self._port) and topics.answers(self.bootstrap, timeout_s=2)):
            if (status := process.status()) is not None:
                raise self._failure(f"ended with status {status} while starting")
            if time.monotonic() > deadline:
                raise self._failure("was not ready in time")
            time.sleep(0.05)

    def _running(self) -> TetheredProcess:
        if self._process is None:
            raise BrokerError(f"the Kafka broker on {self.bootstrap} does not run: start it first")
        return self._process

    def _failure(self, what: str) -> BrokerError:
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])
        return BrokerError(f"the Kafka broker on {self.bootstrap} {what}; the end of {self._log}:\n{tail}")


class MockBroker:
    """librdkafka's mock cluster inside this process: speaks the protocol, keeps nothing on disk.

    Its limits: every topic has four partitions and comes into being when first asked for, only the newest
    5 MB of a partition are kept, and there are no topic ids. It serves no admin calls but group offsets, and
    those only for partitions that are named.
    """

    def __init__(self) -> None:
        self._cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        broker = next(iter(self._cluster.list_topics(timeout=topics.TIMEOUT_S).brokers.values()))
        self._bootstrap = f"{broker.host}:{broker.port}"

    @property
    def bootstrap(self) -> str:
        return self._bootstrap

    def create_topic(self, name: str, partitions: int) -> None:
        if partitions != MOCK_PARTITIONS:
            raise BrokerError(f"topics of the mock cluster have {MOCK_PARTITIONS} partitions, not {partitions}")
        self._cluster.list_topics(name, timeout=topics.TIMEOUT_S)

    def delete_topic(self, name: str) -> None:
        """The mock cluster forgets nothing before it ends; names are not used twice."""

    def stop(self) -> None:
        self._cluster.close()


class ExternalBroker:
    """A broker that somebody else started and will stop; raises BrokerError when it does not answer."""

    def __init__(self, bootstrap: str, timeout_s: float = 10.0) -> None:
        if not topics.answers(bootstrap, timeout_s):
            raise BrokerError(f"no broker answers at KAFKA_BOOTSTRAP={bootstrap}: start it, or unset the variable")
        self._bootstrap = bootstrap

    @property
    def bootstrap(self) -> str:
        return self._bootstrap

    def create_topic(self, name: str, partitions: int) -> None:
        topics.create_topic(self._bootstrap, name, partitions)

    def delete_topic(self, name: str) -> None:
        topics.delete_topic(self._bootstrap, name)

    def stop(self) -> None:
        """Not ours to stop."""


@dataclass(frozen=True)
class BrokerChoice:
    """`detail` is the address of an external broker, else how the choice came about; `missing` says what keeps
    Apache Kafka from running here and how to get it, None when nothing does."""

    kind: Literal["apache", "external", "mock"]
    detail: str
    missing: str | None


def choose_broker(environ: Mapping[str, str], jars: Path = JARS) -> BrokerChoice:
    """KAFKA_BOOTSTRAP if it is set, else Apache Kafka if it can run here, else the mock cluster."""
    missing = _missing(environ, jars)
    if bootstrap := environ.get("KAFKA_BOOTSTRAP"):
        return BrokerChoice("external", bootstrap, missing)
    if missing is not None:
        return BrokerChoice("mock", missing, missing)
    version = next(jars.glob("kafka_*.jar")).stem.rpartition("-")[2]
    return BrokerChoice("apache", f"Apache Kafka {version}", None)


def announcement(choice: BrokerChoice) -> str:
    match choice.kind:
        case "external":
            return f"kafka: the broker at {choice.detail} (KAFKA_BOOTSTRAP)"
        case "mock":
            return f"kafka: librdkafka's mock cluster, not a real broker: {choice.detail}"
        case "apache":
            return f"kafka: {choice.detail}, started when a test asks for it"


def open_broker(choice: BrokerChoice, data_dir: Path) -> Broker:
    """The chosen broker, serving. Raises BrokerError."""
    match choice.kind:
        case "external":
            return ExternalBroker(choice.detail)
        case "mock":
            return MockBroker()
        case "apache":
            broker = KafkaBroker(data_dir)
            broker.start()
            return broker


def _missing(environ: Mapping[str, str], jars: Path) -> str | None:
    java = shutil.which("java", path=environ.get("PATH", os.defpath))
    if java is None:
        return f"java was not found: {INSTALL}"
    if not any(jars.glob("kafka_*.jar")):
        return f"{jars} does not hold Kafka's jars: {INSTALL}"
    if (version := _java_version(java)) < JAVA_NEEDED:
        return f"{java} is Java {version}, Kafka needs {JAVA_NEEDED} or newer: {INSTALL}"
    return None


def _java_version(java: str) -> int:
    """The major version; 0 when it cannot be told."""
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0


def _cluster_id() -> str:
    """As Kafka's random-uuid makes them, without a JVM for it; a leading dash would read as an option."""
    return "T" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def free_port(but: int | None = None) -> int:
    """A port below those the kernel gives to outgoing connections (from 32768).

    Among those a client that keeps dialling a killed broker sooner or later connects to itself, and then
    holds the port against the restart. Not from the `random` module's own state, which tests may seed.
    """
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1_000):
        if port != but and _is_free(port):
            return port
    raise BrokerError("no free port between 20000 and 32000: stop some of the processes that hold them")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
