"""Every setting of Tracewarden, read once by the command line and passed down.

Sources, strongest first: command-line flags, environment (`TRACEWARDEN_…`, nested with `__`), the YAML file of
`--config`, the defaults below. Unknown names and contradictions are refused with the fix in the message.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

MIB = 1024 * 1024

Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A group of settings; a name it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(Section):
    """The trace log on Kafka. Without it the log is embedded."""

    bootstrap_servers: str
    topic: str = "tracewarden.traces"
    dead_letter_topic: str = "tracewarden.dead-letters"
    partitions: Annotated[int, Field(ge=1, le=1024)] = 8
    replication_factor: Annotated[int, Field(ge=1)] = 1
    consumer_group: str = "tracewarden.writer"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: Path | None = None


class IngestSettings(Section):
    """Caps of the receivers and the batching of the writer."""

    max_body_bytes: Annotated[int, Field(gt=0)] = 8 * MIB
    max_expanded_bytes: Annotated[int, Field(gt=0)] = 64 * MIB
    max_in_flight_bytes: Annotated[int, Field(gt=0)] = 256 * MIB
    batch_spans: Annotated[int, Field(gt=0)] = 20_000
    batch_bytes: Annotated[int, Field(gt=0)] = 8 * MIB
    linger_ms: Annotated[int, Field(ge=0, le=10_000)] = 200
    embedded_linger_ms: Annotated[int, Field(ge=0, le=1_000)] = 5
    retention_days: Annotated[int, Field(ge=1, le=3_650)] = 30


class QuerySettings(Section):
    """Bounds of every query of the API."""

    max_range_days: Annotated[int, Field(ge=1)] = 93
    max_rows: Annotated[int, Field(ge=1)] = 10_000
    max_memory_bytes: Annotated[int, Field(ge=64 * MIB)] = 2_048 * MIB
    timeout_s: Seconds = 10.0
    threads: Annotated[int, Field(ge=1, le=64)] = 4


class AuthSettings(Section):
    """API keys. `required` unset means: required unless everything binds to loopback."""

    required: bool | None = None
    pepper: SecretStr | None = None
    pepper_file: Path | None = None


class PriceOverride(Section):
    """The operator's own price of a model, in US dollars per million tokens."""

    provider: str
    model: str
    input_usd_per_mtok: Annotated[float, Field(ge=0)]
    output_usd_per_mtok: Annotated[float, Field(ge=0)]
    cache_read_usd_per_mtok: Annotated[float, Field(ge=0)] | None = None
    cache_write_usd_per_mtok: Annotated[float, Field(ge=0)] | None = None


class CostSettings(Section):
    """Token prices beside the bundled list."""

    prices: tuple[PriceOverride, ...] = ()
    refresh_s: Seconds = 5.0


class WebhookChannel(Section):
    """One receiver of signed webhooks. The secret is a Standard Webhooks one (`whsec_` and base64)."""

    type: Literal["webhook"] = "webhook"
    name: str
    url: str
    secret: SecretStr | None = None
    secret_file: Path | None = None


class SlackChannel(Section):
    """One Slack incoming webhook; its address is a secret."""

    type: Literal["slack"] = "slack"
    name: str
    url: SecretStr | None = None
    url_file: Path | None = None


Channel = Annotated[WebhookChannel | SlackChannel, Field(discriminator="type")]


class AlertingSettings(Section):
    """Rules, channels and the rhythm of evaluation."""

    rules_file: Path | None = None
    channels: tuple[Channel, ...] = ()
    evaluate_every_s: Seconds = 60.0
    guard_every_s: Seconds = 2.0
    group_wait_s: Annotated[float, Field(ge=0)] = 30.0
    group_interval_s: Seconds = 300.0
    repeat_s: Seconds = 4 * 3600.0
    public_url: str | None = None


class RollbackSettings(Section):
    """What an automatic rollback may do. The default mode only says what it would have done."""

    mode: Literal["dry_run", "approve", "auto"] = "dry_run"
    enabled: bool = True
    cooldown_s: Annotated[float, Field(ge=0)] = 1800.0
    max_per_day: Annotated[int, Field(ge=1)] = 2
    warm_up_samples: Annotated[int, Field(ge=0)] = 30
    verify_spans: Annotated[int, Field(ge=1)] = 30
    verify_timeout_s: Seconds = 900.0
    propagation_timeout_s: Seconds = 120.0


class OutgoingSettings(Section):
    """Outgoing HTTP: private, link-local and metadata addresses are refused unless their network is listed."""

    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    timeout_s: Seconds = 10.0


class LogSettings(Section):
    """Structured logs of Tracewarden itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Settings(BaseSettings):
    """The whole configuration; see the module docstring for its sources."""

    model_config = SettingsConfigDict(
        env_prefix="TRACEWARDEN_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Path("data")
    host: str = "127.0.0.1"
    port: Port = 8080
    otlp_http_port: Port = 4318
    otlp_grpc_port: Port = 4317
    clickhouse_url: SecretStr | None = Field(
        default=None,
        description="A ClickHouse server, as https://user:password@host:8443/database; unset: chDB under data_dir.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL, as postgresql://user:password@host/database; unset: SQLite under data_dir.",
    )
    kafka: KafkaSettings | None = None
    ingest: IngestSettings = IngestSettings()
    query: QuerySettings = QuerySettings()
    auth: AuthSettings = AuthSettings()
    cost: CostSettings = CostSettings()
    alerting: AlertingSettings = AlertingSettings()
    rollback: RollbackSettings = RollbackSettings()
    outgoing: OutgoingSettings = OutgoingSettings()
    log: LogSettings = LogSettings()

    @field_validator("database_url")
    @classmethod
    def _names_its_driver(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        url = value.get_secret_value()
        for scheme in ("postgresql://", "postgres://"):
            if url.startswith(scheme):
                return SecretStr("postgresql+psycopg://" + url.removeprefix(scheme))
        if url.startswith(("postgresql+psycopg://", "sqlite:///")):
            return value
        raise ValueError("database_url must start with postgresql:// (or be left unset for SQLite under data_dir)")

    @field_validator("clickhouse_url")
    @classmethod
    def _is_a_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or value.get_secret_value().startswith(("http://", "https://")):
            return value
        raise ValueError("clickhouse_url must start with https:// or http:// (or be left unset for chDB under data_dir)")

    @model_validator(mode="after")
    def _keys_where_reachable(self) -> Self:
        if self.auth.required is False and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines, so API keys are required: "
                "leave auth.required unset, or bind to 127.0.0.1"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)

    @property
    def keys_required(self) -> bool:
        """Whether every request must carry an API key."""
        return not is_loopback(self.host) if self.auth.required is None else self.auth.required

    def require_cluster(self, role: str) -> None:
        """Refuse a role of its own where the parts cannot be shared between processes.

        Raises:
            ValueError: naming each setting that is missing.
        """
        needed = {
            "kafka.bootstrap_servers": self.kafka,
            "clickhouse_url": self.clickhouse_url,
            "database_url": self.database_url,
        }
        missing = [name for name, value in needed.items() if value is None]
        if missing:
            raise ValueError(
                f"`tracewarden {role}` runs one role by itself and shares its data with the others: set {', '.join(missing)}, "
                "or run every role in one process with `tracewarden serve`"
            )


def load_settings(config: Path | None = None, **flags: object) -> Settings:
    """Read the settings from all sources; `flags` are those given on the command line."""
    if config is None:
        return Settings(**flags)  # type: ignore[arg-type]

    class WithFile(Settings):
        model_config = SettingsConfigDict(yaml_file=config)

    return WithFile(**flags)  # type: ignore[arg-type]


def read_secret(value: SecretStr | None, file: Path | None) -> SecretStr | None:
    """A secret given in place or as a file; the file wins nothing: giving both is an error.

    Raises:
        ValueError: both are given, or the file cannot be read.
    """
    if value is not None and file is not None:
        raise ValueError(f"a secret is given twice, in place and in {file}: keep one")
    if file is None:
        return value
    try:
        return SecretStr(file.read_text().strip())
    except OSError as error:
        raise ValueError(f"the secret file {file} cannot be read ({error.strerror}): check its path and permissions") from error
