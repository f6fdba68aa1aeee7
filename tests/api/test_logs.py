"""Logs are one form for everything, and hold neither secrets nor texts of users."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from api.observability.logs import HIDDEN, MAX_TEXT, configure_logs, mask
from schemas.settings import LogSettings


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers, root.level
    stream = io.StringIO()
    configure_logs(LogSettings(format="json"), stream)
    yield stream
    root.handlers, level = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_events_and_those_of_libraries_have_one_form(written: io.StringIO) -> None:
    structlog.get_logger("ingest").info("stored", spans=5)
    logging.getLogger("library").warning("gave up on %s", "that")
    ours, theirs = lines(written)
    assert (ours["event"], ours["spans"], ours["level"], ours["logger"]) == ("stored", 5, "info", "ingest")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("gave up on that", "warning", "library")
    assert ours["timestamp"].endswith("Z")


def test_secrets_and_texts_of_users_are_blanked(written: io.StringIO) -> None:
    structlog.get_logger("x").warning(
        "failed",
        password="hunter2",
        headers={"authorization": "Bearer hunter2", "accept": "json"},
        prompt="my disease",
        output_messages=["my disease"],
        error="postgresql://u:hunter2@db: refused tw_hunter2hunter2 https://hooks.slack.com/services/hunter2",
        input_tokens=17,
    )
    (line,) = lines(written)
    assert "hunter2" not in json.dumps(line)
    assert "disease" not in json.dumps(line)
    assert line["headers"]["accept"] == "json"
    assert line["input_tokens"] == 17
    assert line["error"].startswith(f"postgresql://u:{HIDDEN}@db: refused")


def test_traces_of_errors_are_masked_too(written: io.StringIO) -> None:
    try:
        raise ValueError("cannot reach https://user:hunter2@ch:8443")
    except ValueError as error:
        structlog.get_logger("x").error("failed", exc_info=error)
    (line,) = lines(written)
    assert "ValueError" in line["exception"]
    assert "hunter2" not in line["exception"]


def test_a_long_text_keeps_its_start_and_its_end() -> None:
    cut = mask("a" + "x" * 3 * MAX_TEXT + "z")
    assert cut[0] == "a"
    assert cut[-1] == "z"
    assert len(cut) < MAX_TEXT + 50


def test_on_request_lines_are_for_people(written: io.StringIO) -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(format="console", level="warning"), stream)
    structlog.get_logger("x").info("unseen")
    structlog.get_logger("x").warning("seen", count=3)
    assert "seen" in stream.getvalue()
    assert "count=3" in stream.getvalue()
    assert "unseen" not in stream.getvalue()
