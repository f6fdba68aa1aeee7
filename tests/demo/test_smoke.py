"""The operator's smoke test, against the process that it is made for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.smoke import SPANS, SmokeError, request, run, span_ids
from tests.api.process import serving

SMOKE = Path(__file__).parents[2] / "demo" / "smoke.py"


def test_a_running_tracewarden_passes(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        command = [sys.executable, str(SMOKE), "--otlp", served.addresses["otlp-http"], "--api", served.addresses["api"]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "passed"
        assert served.stop() == 0


def test_nobody_there_is_a_failure_that_names_the_address() -> None:
    with pytest.raises(SmokeError, match=re.escape("http://127.0.0.1:1/v1/traces did not answer")):
        run("http://127.0.0.1:1", "http://127.0.0.1:1", None, 1)


def test_ids_are_found_at_any_depth_and_links_are_none() -> None:
    tree = {"span_id": "a", "name": "root", "links": [{"span_id": "x"}], "children": [{"span_id": "b", "name": "child"}]}
    assert span_ids({"root": tree}) == ["a", "b"]


def test_the_request_has_as_many_spans_as_are_waited_for() -> None:
    spans = request("0" * 32, 1)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len(spans) == len({span["spanId"] for span in spans}) == SPANS
