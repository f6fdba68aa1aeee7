"""One trace through a running Tracewarden and back: sent over OTLP, sent again as a retry, read through the API.

Needs the standard library only, so that it can be mounted into any container. Exit code 0: the trace is there, complete
and once. Example: `python demo/smoke.py --otlp http://127.0.0.1:4318 --api http://127.0.0.1:8080`
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

SPANS = 20
INPUT_TOKENS = 120
OUTPUT_TOKENS = 45


class SmokeError(Exception):
    """A step failed; the message says which and what came back."""


def main() -> int:
    arguments = _arguments()
    try:
        with _key(arguments) as key:
            run(arguments.otlp, arguments.api, key, arguments.timeout)
    except SmokeError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print("passed")
    return 0


def run(otlp: str, api: str, key: str | None, timeout_s: float) -> None:
    """Every step, one printed line each.

    Raises:
        SmokeError: a step failed.
    """
    trace_id = secrets.token_hex(16)
    body = json.dumps(request(trace_id, time.time_ns())).encode()
    _send(otlp, body, key)
    print(f"sent: {SPANS} spans of trace {trace_id}")
    _wait(api, trace_id, key, timeout_s)
    print("read: all of them, each once")
    _send(otlp, body, key)
    last = secrets.token_hex(16)
    _send(otlp, json.dumps(request(last, time.time_ns())).encode(), key)
    _wait(api, last, key, timeout_s)
    _wait(api, trace_id, key, timeout_s)
    print("sent again, as a client that missed the answer would: still once")


def request(trace_id: str, now_ns: int) -> dict[str, Any]:
    """An OTLP request in JSON: a workflow and its model calls."""
    root = secrets.token_hex(8)
    spans = [_span(trace_id, root, "", now_ns, "workflow", {})]
    for number in range(SPANS - 1):
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.response.id": f"smoke-{trace_id[:8]}-{number}",
            "gen_ai.usage.input_tokens": INPUT_TOKENS,
            "gen_ai.usage.output_tokens": OUTPUT_TOKENS,
        }
        spans.append(_span(trace_id, secrets.token_hex(8), root, now_ns, "chat gpt-4o-mini", attributes))
    resource = {"attributes": _attributes({"service.name": "tracewarden-smoke"})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "smoke"}, "spans": spans}]}]}


def _span(trace_id: str, span_id: str, parent: str, now_ns: int, name: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "traceId": trace_id,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": name,
        "kind": 3 if parent else 1,
        "startTimeUnixNano": str(now_ns - 50_000_000),
        "endTimeUnixNano": str(now_ns),
        "attributes": _attributes(attributes),
        "status": {},
    }


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
    ]


def _send(otlp: str, body: bytes, key: str | None) -> None:
    status, answer = _call(f"{otlp}/v1/traces", key, body)
    if status != 200 or answer.get("partialSuccess"):
        raise SmokeError(f"{otlp}/v1/traces answered {status}: {answer}")


def _wait(api: str, trace_id: str, key: str | None, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        status, answer = _call(f"{api}/v1/traces/{trace_id}", key)
        ids = span_ids(answer) if status == 200 else []
        if len(ids) > SPANS or len(ids) != len(set(ids)):
            raise SmokeError(f"trace {trace_id} holds {len(ids)} spans, {SPANS} were sent: some are stored twice")
        if len(ids) == SPANS:
            return
        if status not in (200, 404) or time.monotonic() > deadline:
            raise SmokeError(f"trace {trace_id} shows {len(ids)} of {SPANS} spans after {timeout_s:g} s ({status}: {answer})")
        time.sleep(0.2)


def span_ids(answer: Any) -> list[str]:
    """Every span id in an answer, however deep the tree."""
    if isinstance(answer, list):
        return [found for item in answer for found in span_ids(item)]
    if not isinstance(answer, dict):
        return []
    own = [answer["span_id"]] if "span_id" in answer and "name" in answer else []
    return own + [found for value in answer.values() for found in span_ids(value)]


def _call(url: str, key: str | None, body: bytes | None = None) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, body, headers), timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        raise SmokeError(f"{url} did not answer as expected: {error}") from error


@contextlib.contextmanager
def _key(arguments: argparse.Namespace) -> Iterator[str | None]:
    """The key to use: of the environment, or one made for this run and revoked after it."""
    if not arguments.create_key:
        yield os.environ.get("SMOKE_API_KEY")
        return
    command = ["tracewarden", "keys", "create", "--name", "smoke", "--scope", "ingest", "--scope", "read", "--json"]
    made = json.loads(_run(command))
    try:
        yield made["key"]
    finally:
        _run(["tracewarden", "keys", "revoke", made["id"]])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SmokeError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--otlp", default="http://127.0.0.1:4318", help="address of OTLP over HTTP")
    parser.add_argument("--api", default="http://127.0.0.1:8080", help="address of the API")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds until a trace must be readable")
    parser.add_argument(
        "--create-key", action="store_true", help="make an API key for this run, and revoke it (else SMOKE_API_KEY)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
