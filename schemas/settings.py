"""Every setting of Tracewarden, read once by the command line and passed down.

Sources, strongest first: command-line flags, environment (`TRACEWARDEN_…`, nested with `__`), the YAML file of
`--config`, the defaults below. Unknown names and contradictions are refused with the fix in the message.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from schemas.analysis import AnalysisSettings
from schemas.sections import (
    MIB,
    AlertingSettings,
    AuthSettings,
    Channel,
    CostSettings,
    IngestSettings,
    KafkaSettings,
    LogSettings,
    OutgoingSettings,
    Port,
    PriceOverride,
    QuerySettings,
    RollbackSettings,
    Seconds,
    Section,
    SlackChannel,
    WebhookChannel,
)

__all__ = [
    "MIB",
    "AlertingSettings",
    "AnalysisSettings",
    "AuthSettings",
    "Channel",
    "CostSettings",
    "IngestSettings",
    "KafkaSettings",
    "LogSettings",
    "OutgoingSettings",
    "Port",
    "PriceOverride",
    "QuerySettings",
    "RollbackSettings",
    "Seconds",
    "Section",
    "Settings",
    "SlackChannel",
    "WebhookChannel",
    "is_loopback",
    "load_settings",
    "read_secret",
]


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
        use_attribute_docstrings=True,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Path("data")
    """Folder of everything that is kept: the embedded stores, dead letters, the lock."""
    host: str = "127.0.0.1"
    """Address that every listener binds to. Other than loopback, API keys are required."""
    port: Port = 8080
    """Port of the query and control API, health and metrics; 0 takes a free one."""
    otlp_http_port: Port = 4318
    """Port of OTLP over HTTP; 0 takes a free one."""
    otlp_grpc_port: Port = 4317
    """Port of OTLP over gRPC; 0 takes a free one."""
    clickhouse_url: SecretStr | None = None
    """A ClickHouse server, as https://user:password@host:8443/database; unset: chDB under data_dir."""
    clickhouse_url_file: Path | None = None
    """File with that address."""
    database_url: SecretStr | None = None
    """PostgreSQL, as postgresql://user:password@host/database; unset: SQLite under data_dir."""
    database_url_file: Path | None = None
    """File with that address."""
    kafka: KafkaSettings | None = None
    """The trace log on Kafka; unset: embedded."""
    ingest: IngestSettings = IngestSettings()
    """Receivers and writer."""
    query: QuerySettings = QuerySettings()
    """Bounds of queries."""
    auth: AuthSettings = AuthSettings()
    """API keys."""
    cost: CostSettings = CostSettings()
    """Token prices."""
    analysis: AnalysisSettings = AnalysisSettings()
    """Analyzers and the weekly report."""
    alerting: AlertingSettings = AlertingSettings()
    """Rules and channels."""
    rollback: RollbackSettings = RollbackSettings()
    """Automatic rollback."""
    outgoing: OutgoingSettings = OutgoingSettings()
    """Outgoing HTTP."""
    log: LogSettings = LogSettings()
    """Logs."""

    @model_validator(mode="before")
    @classmethod
    def _urls_from_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        """An address with a password may be kept in a file; from here on only the address counts."""
        for name in ("clickhouse_url", "database_url"):
            if file := values.get(f"{name}_file"):
                given = values.get(name)
                values = values | {name: read_secret(None if given is None else SecretStr(str(given)), Path(file))}
        return values

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

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        fixed = [port for port in (self.port, self.otlp_http_port, self.otlp_grpc_port) if port]
        if len(set(fixed)) < len(fixed):
            raise ValueError(f"port, otlp_http_port and otlp_grpc_port are {fixed}: give each listener a port of its own")
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


def load_settings(config: Path | None = None, **flags: Any) -> Settings:
    """Read the settings from all sources; `flags` are those given on the command line."""
    if config is None:
        return Settings(**flags)

    class WithFile(Settings):
        model_config = SettingsConfigDict(yaml_file=config)

    return WithFile(**flags)


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
