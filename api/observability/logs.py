"""Logs of Tracewarden itself: one JSON object a line, or readable lines on a terminal. Never a secret, never a prompt."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from schemas.settings import LogSettings

HIDDEN = "…"
MAX_TEXT = 2_000
QUIET = ("uvicorn", "aiokafka", "alembic", "apscheduler", "httpx", "httpcore", "asyncio")
# Each of their warnings is followed by an error of ours that says the same.
SILENT = ("urllib3", "clickhouse_connect")

_SECRET_NAME = re.compile(r"(?i)(password|passwd|secret|token|pepper|authorization|api_?key|cookie)")
_SECRET_VALUE = (
    (re.compile(r"(\w+://[^\s/:@]*:)[^\s/@]+@"), r"\1" + HIDDEN + "@"),
    (re.compile(r"\b(tw_|whsec_|sk-)[A-Za-z0-9_+/=-]{6,}"), r"\1" + HIDDEN),
    (re.compile(r"(https://hooks\.slack\.com/services/)\S+"), r"\1" + HIDDEN),
    (re.compile(r"(?i)\b(bearer\s+)\S+"), r"\1" + HIDDEN),
)
_TEXT_OF_USERS = frozenset({"prompt", "completion", "input", "output", "body", "messages", "input_messages", "output_messages"})

Event = MutableMapping[str, Any]


def configure_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's loggers to `stream` (standard error) in one form."""
    out = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(settings, out)))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    for names, level in ((QUIET, logging.WARNING), (SILENT, logging.CRITICAL)):
        for name in names:
            logging.getLogger(name).setLevel(max(level, root.level))
    logging.getLogger("uvicorn.error").addFilter(_not_cancelled)


def _not_cancelled(record: logging.LogRecord) -> bool:
    """A request cut off at the end of the drain is one line that says so; the trace of its cancelling says no more."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _rendering(settings: LogSettings, out: TextIO) -> list[structlog.typing.Processor]:
    clean: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if settings.format == "console" or (settings.format == "auto" and out.isatty()):
        return [*clean, structlog.processors.format_exc_info, hide, structlog.dev.ConsoleRenderer(colors=out.isatty())]
    return [*clean, structlog.processors.format_exc_info, hide, structlog.processors.JSONRenderer()]


def hide(_logger: object, _method: str, event: Event) -> Event:
    """Blank what is named like a secret or a text of users, mask secrets inside texts, cut long ones."""
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: object) -> object:
    if name in _TEXT_OF_USERS or (isinstance(value, str) and _SECRET_NAME.search(name)):
        return HIDDEN
    if isinstance(value, dict):
        return {inner: _clean(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", item) for item in value]
    return mask(value) if isinstance(value, str) else value


def mask(text: str) -> str:
    """`text` without the passwords, keys and tokens in it; of a long one its start and its end, where a trace says why."""
    for pattern, replacement in _SECRET_VALUE:
        text = pattern.sub(replacement, text)
    if len(text) <= MAX_TEXT:
        return text
    return text[: MAX_TEXT // 2] + f" … {len(text) - MAX_TEXT} characters … " + text[-MAX_TEXT // 2 :]
