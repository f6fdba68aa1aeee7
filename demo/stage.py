"""Sets up the demo world: Tracewarden with a configuration file as a user would write it, and everything around it."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo.children import Child, Children
from demo.receiver import SECRET_VARIABLE
from demo.releases import TARGET
from demo.survey import Planted

HIDDEN = ("TRACEWARDEN_", "OTEL_")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")

SETTINGS = """\
# Settings of the demo. What is not here has its default (docs/settings.md).
data_dir: {data_dir}
port: {port}
otlp_http_port: 0   # a free one
otlp_grpc_port: 0
rollback:
  mode: auto        # by default Tracewarden only says what it would roll back
alerting:
  guard_every_s: 2  # the default: how often a freshly promoted release is judged
  public_url: http://127.0.0.1:{port}
  channels:
    - type: slack
      name: on-call
      url: {receiver}/slack/services/T0DEMO/B0DEMO/secret
    - type: webhook
      name: automation
      url: {receiver}/webhook
      secret: {secret}
analysis:
  analyzers: [drift, toxicity, grounding, quality]
  poll_s: 1
  texts_per_s: {{drift: 40, toxicity: 40, grounding: 100}}
  embedder:
    batch_size: 8   # short turns, because all share one thread on two cores
  drift:            # seconds instead of hours and days
    scales: ["5s"]
    reference_units: 6
    min_reference: 100
    min_window: 30
    false_alarm_rate: 0.01
  toxicity:
    model: none     # the screen alone: Detoxify's weights are not part of the installation
  report:
    channels: [on-call, automation]
outgoing:
  allowed_networks: [127.0.0.0/8]  # the receiver of this demo; otherwise only public addresses are called
"""

Told = Callable[[str, str], None]


@dataclass(frozen=True)
class Stage:
    """Where everything is."""

    folder: Path
    settings: Path
    api: str
    otlp: str
    receiver: str
    provider: str

    @property
    def planted(self) -> Planted:
        """Where the applications note what they planted."""
        return Planted(support=self.folder / "planted-support.jsonl", search=self.folder / "planted-search.jsonl")


def set_up(children: Children, folder: Path, seed: int, told: Told) -> Stage:
    """Start receiver, provider and Tracewarden; `told(name, address)` hears of each once it is ready.

    Raises:
        ChildError: one of them did not start.
    """
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    environment = clean_environment()
    received = str(folder / "received.jsonl")
    receiver_child = children.start("receiver", module("receiver", "--file", received), environment | {SECRET_VARIABLE: secret})
    provider_child = children.start("provider", module("provider", "--seed", str(seed)), environment)
    receiver = children.wait_ready(receiver_child)["receiver"]
    settings = folder / "tracewarden.yaml"
    settings.write_text(SETTINGS.format(data_dir=folder / "data", port=free_port(), receiver=receiver, secret=secret))
    settings.chmod(0o600)
    addresses = children.wait_ready(
        children.start("tracewarden", [tracewarden(), "serve", "--config", str(settings)], environment)
    )
    told("tracewarden", f"{addresses['api']}, OTLP {addresses['otlp-http']}")
    provider = children.wait_ready(provider_child)["provider"]
    told("provider", f"{provider}, a stub of OpenAI's chat completions")
    told("receiver", f"{receiver}, stands in for Slack and for a signed webhook")
    return Stage(folder, settings, addresses["api"], addresses["otlp-http"], receiver, provider)


def open_assistant(children: Children, stage: Stage, rate: float, seed: int, new_intents_after_s: float) -> Child:
    """Start the assistant with its gateway and its customers; it serves once a release is promoted.

    `new_intents_after_s`: seconds from then until customers ask about a new topic; inf: they never do.
    """
    places = ["--api", stage.api, "--otlp", stage.otlp, "--provider", stage.provider, "--target", TARGET]
    planting = ["--planted", str(stage.planted.support), "--new-intents-after-s", str(new_intents_after_s)]
    command = module("assistant", *places, *planting, "--rate", str(rate), "--seed", str(seed))
    return children.start("assistant", command, clean_environment())


def open_handbook_search(children: Children, stage: Stage, rate: float, seed: int) -> Child:
    """Start the retrieval assistant with its users."""
    places = ["--otlp", stage.otlp, "--provider", stage.provider, "--planted", str(stage.planted.search)]
    command = module("handbook_search", *places, "--rate", str(rate), "--seed", str(seed))
    return children.start("handbook-search", command, clean_environment())


def module(name: str, *arguments: str) -> list[str]:
    """The command of a process of this package."""
    return [sys.executable, "-m", f"demo.{name}", *arguments]


def tracewarden() -> str:
    """The installed command."""
    return str(Path(sys.executable).with_name("tracewarden"))


def clean_environment() -> dict[str, str]:
    """The environment without anybody's settings of Tracewarden or OpenTelemetry, and without a proxy in between."""
    root = Path(__file__).parents[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN) and name.lower() not in PROXIES}
    return kept | {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}


def free_port() -> int:
    """A port that is free now. Links in messages name it, so it must be known before Tracewarden starts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
