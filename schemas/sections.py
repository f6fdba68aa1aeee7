"""The sections of the settings; `schemas.settings` puts them together and reads them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

MIB = 1024 * 1024

Seconds = Annotated[float, Field(gt=0)]
UsdPerMtok = Annotated[float, Field(ge=0, le=999_999)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A group of settings; a name it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class KafkaSettings(Section):
    """The trace log on Kafka. Without it the log is embedded."""

    bootstrap_servers: str
    """Brokers to start from, as host:port, separated by commas."""
    topic: str = "tracewarden.traces"
    """Topic of the trace log."""
    dead_letter_topic: str = "tracewarden.dead-letters"
    """Topic of the records that could not be stored, with their error and origin."""
    partitions: Annotated[int, Field(ge=1, le=1024)] = 8
    """Partitions of the trace log when `tracewarden migrate` creates it; more writers than partitions stay idle."""
    replication_factor: Annotated[int, Field(ge=1)] = 1
    """Copies of each partition when `tracewarden migrate` creates the topics; 3 where three brokers run."""
    consumer_group: str = "tracewarden.writer"
    """Consumer group of the writers."""
    batch_bytes: Annotated[int, Field(ge=MIB, le=64 * MIB)] = 64 * MIB
    """Bytes of one insert from Kafka at most, up to 64 MiB; a writer holds two such batches."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How brokers are spoken to."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    """SASL mechanism; needed with SASL_PLAINTEXT and SASL_SSL."""
    username: str | None = None
    """SASL user."""
    password: SecretStr | None = None
    """SASL password."""
    password_file: Path | None = None
    """File with the SASL password."""
    ca_file: Path | None = None
    """Certificate authorities that the brokers' certificates are checked with; unset: those of the system."""

    @model_validator(mode="after")
    def _signs_in_completely(self) -> Self:
        signs_in = self.security_protocol.startswith("SASL")
        given = (self.sasl_mechanism, self.username, self.password or self.password_file)
        if signs_in and None in given:
            raise ValueError(f"{self.security_protocol} needs sasl_mechanism, username and password or password_file")
        if not signs_in and given != (None, None, None):
            raise ValueError(f"{self.security_protocol} signs nobody in: set security_protocol to SASL_SSL, or remove the user")
        return self


class IngestSettings(Section):
    """Caps of the receivers and the batching of the writer."""

    max_body_bytes: Annotated[int, Field(gt=0)] = 8 * MIB
    """Largest request body as sent; a larger one is refused with 413."""
    max_expanded_bytes: Annotated[int, Field(gt=0)] = 64 * MIB
    """Largest request body after decompression; a larger one is refused with 413."""
    max_in_flight_bytes: Annotated[int, Field(gt=0)] = 256 * MIB
    """Bytes received and not yet durable; above it requests get 429 with Retry-After."""
    batch_spans: Annotated[int, Field(gt=0)] = 20_000
    """Spans of one insert at most."""
    batch_bytes: Annotated[int, Field(gt=0, le=64 * MIB)] = 16 * MIB
    """Bytes of one insert of the embedded log at most, up to 64 MiB; its senders wait for it."""
    linger_ms: Annotated[int, Field(ge=0, le=10_000)] = 200
    """How long the Kafka writer waits for a batch to fill."""
    embedded_interval_ms: Annotated[int, Field(ge=0, le=1_000)] = 100
    """Time between the beginnings of two inserts of the embedded log at least: requests in between share the second."""
    retention_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """Days that spans are kept, and whatever quotes or judges their texts: scores, sampled texts, looks at drift."""


class QuerySettings(Section):
    """Bounds of every query of the API."""

    max_range_days: Annotated[int, Field(ge=1)] = 93
    """Longest time range of one query."""
    max_rows: Annotated[int, Field(ge=1)] = 10_000
    """Most rows that one answer holds."""
    max_memory_bytes: Annotated[int, Field(ge=64 * MIB)] = 2_048 * MIB
    """Memory of one query at most."""
    timeout_s: Seconds = 10.0
    """Time of one query at most."""
    threads: Annotated[int, Field(ge=1, le=64)] = 4
    """Queries that run at once."""


class AuthSettings(Section):
    """API keys. `required` unset means: required unless everything binds to loopback."""

    required: bool | None = None
    """Whether every request carries an API key; unset: required unless everything binds to loopback."""
    pepper: SecretStr | None = None
    """Secret that API keys are hashed with; unset: made once and kept under data_dir (embedded form only)."""
    pepper_file: Path | None = None
    """File with the pepper."""


class PriceOverride(Section):
    """The operator's own price of a model, in US dollars per million tokens."""

    provider: str
    """Provider as the spans name it."""
    model: str
    """Model as the spans name it."""
    input_usd_per_mtok: UsdPerMtok
    """Price of uncached input."""
    output_usd_per_mtok: UsdPerMtok
    """Price of output."""
    cache_read_usd_per_mtok: UsdPerMtok | None = None
    """Price of input read from a cache; unset: as input."""
    cache_write_usd_per_mtok: UsdPerMtok | None = None
    """Price of input written to a cache; unset: as input."""


class CostSettings(Section):
    """Token prices beside the bundled list."""

    prices: tuple[PriceOverride, ...] = ()
    """The operator's own prices; they come before the bundled ones."""
    refresh_s: Seconds = 5.0
    """How often models seen for the first time are looked up and priced."""


class WebhookChannel(Section):
    """One receiver of signed webhooks. The secret is a Standard Webhooks one (`whsec_` and base64)."""

    type: Literal["webhook"] = "webhook"
    """`webhook`."""
    name: str
    """Name that rules send to."""
    url: str
    """Address that receives the POST."""
    secret: SecretStr | None = None
    """Signing secret of Standard Webhooks: `whsec_` and base64."""
    secret_file: Path | None = None
    """File with the signing secret."""

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        _require_one(self.name, "secret", self.secret, self.secret_file)
        if self.secret is not None and not self.secret.get_secret_value().startswith("whsec_"):
            raise ValueError(f"the secret of {self.name} must be whsec_ and base64: make one with `openssl rand -base64 32`")
        return self


class SlackChannel(Section):
    """One Slack incoming webhook; its address is a secret."""

    type: Literal["slack"] = "slack"
    """`slack`."""
    name: str
    """Name that rules send to."""
    url: SecretStr | None = None
    """Address of the incoming webhook; it is a secret."""
    url_file: Path | None = None
    """File with that address."""

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        _require_one(self.name, "url", self.url, self.url_file)
        return self


def _require_one(channel: str, name: str, value: SecretStr | None, file: Path | None) -> None:
    if (value is None) == (file is None):
        raise ValueError(f"channel {channel} needs {name} or {name}_file, and only one of them")


Channel = Annotated[WebhookChannel | SlackChannel, Field(discriminator="type")]


class AlertingSettings(Section):
    """Rules, channels and the rhythm of evaluation."""

    rules_file: Path | None = None
    """YAML file of alert rules, read at start."""
    channels: tuple[Channel, ...] = ()
    """Where notifications go: webhooks and Slack incoming webhooks."""
    evaluate_every_s: Seconds = 60.0
    """How often rules are evaluated."""
    guard_every_s: Seconds = 2.0
    """How often a freshly promoted release is compared with the one before."""
    group_wait_s: Annotated[float, Field(ge=0)] = 30.0
    """How long the first alert of a group waits for others to join its message."""
    group_interval_s: Seconds = 300.0
    """Time between two messages of a group that changed."""
    repeat_s: Seconds = 4 * 3600.0
    """Time until an alert that still fires is sent again."""
    public_url: str | None = None
    """Address of this Tracewarden as people reach it; links in messages start with it."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [channel.name for channel in self.channels]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two channels are called {', '.join(twice)}: rules could not tell them apart, rename one")
        return self


class RollbackSettings(Section):
    """What an automatic rollback may do. The default mode only says what it would have done."""

    mode: Literal["dry_run", "approve", "auto"] = "dry_run"
    """dry_run says what it would do, approve waits for a person, auto rolls back. Rules and targets may only be stricter."""
    enabled: bool = True
    """The kill switch: false refuses every rollback that no person asked for."""
    cooldown_s: Annotated[float, Field(ge=0)] = 1800.0
    """Time after a rollback in which no automatic one follows on the same target."""
    max_per_day: Annotated[int, Field(ge=1)] = 2
    """Automatic rollbacks of one target a day."""
    warm_up_samples: Annotated[int, Field(ge=0)] = 30
    """Requests of a new release before it may be judged."""
    verify_spans: Annotated[int, Field(ge=1)] = 30
    """Spans started after the rollback that its proof needs."""
    verify_timeout_s: Seconds = 900.0
    """Time for that proof; after it the rollback is `unverified` and a person is told."""
    propagation_timeout_s: Seconds = 120.0
    """Time for gateways to take up the restored release."""
    webhooks: tuple[WebhookChannel, ...] = ()
    """Endpoints that targets with the executor `webhook` are rolled back through, by name."""


class OutgoingSettings(Section):
    """Outgoing HTTP: private, link-local and metadata addresses are refused unless their network is listed."""

    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Private networks that webhooks may reach, as CIDR, such as 10.1.0.0/16."""
    timeout_s: Seconds = 10.0
    """Time of one outgoing request."""


class LogSettings(Section):
    """Structured logs of Tracewarden itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    format: Literal["auto", "json", "console"] = "auto"
    """auto writes for people on a terminal and JSON elsewhere."""
