"""What stands in for Slack and for a team's own webhook, as a process: it keeps what it gets and shows it.

`POST /slack/…` takes what a Slack incoming webhook takes, `POST /webhook` checks the Standard Webhooks signature with the
`standardwebhooks` library and refuses what does not carry one, `GET /received` returns everything so far.
"""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from demo.serving import serve

SECRET_VARIABLE = "DEMO_WEBHOOK_SECRET"


class Receiver:
    """Keeps messages in memory and, a line of JSON each, in `file`."""

    def __init__(self, secret: str, file: Path) -> None:
        self._webhook = Webhook(secret)
        self._file = file
        self._received: list[dict[str, Any]] = []

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/slack/{hook:path}", self._slack, methods=["POST"]),
                Route("/webhook", self._signed, methods=["POST"]),
                Route("/received", self._show),
            ]
        )

    async def _slack(self, request: Request) -> Response:
        body = await request.body()
        problem = slack_problem(body)
        self._keep("slack", body, verified=None, problem=problem)
        return PlainTextResponse(problem or "ok", 400 if problem else 200)

    async def _signed(self, request: Request) -> Response:
        body = await request.body()
        try:
            self._webhook.verify(body, dict(request.headers))
        except WebhookVerificationError as error:
            self._keep("webhook", body, verified=False, problem=str(error))
            return PlainTextResponse(f"the signature is not ours: {error}", 401)
        self._keep("webhook", body, verified=True, problem=None)
        return Response(status_code=204)

    async def _show(self, _: Request) -> JSONResponse:
        return JSONResponse({"received": self._received})

    def _keep(self, channel: str, body: bytes, *, verified: bool | None, problem: str | None) -> None:
        entry = {
            "at": datetime.now(UTC).isoformat(),
            "channel": channel,
            "verified": verified,
            "problem": problem,
            "body": readable(body),
        }
        self._received.append(entry)
        with self._file.open("a") as lines:
            lines.write(json.dumps(entry) + "\n")


def readable(body: bytes) -> Any:
    """The JSON that was sent, or its text where it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def slack_problem(body: bytes) -> str | None:
    """What Slack would answer to a message that it refuses, or None."""
    sent = readable(body)
    if not isinstance(sent, dict):
        return "invalid_payload"
    if not sent.get("text") and not sent.get("blocks"):
        return "no_text"
    blocks = sent.get("blocks", [])
    too_long = any(len(block.get("text", {}).get("text", "")) > 3_000 for block in blocks)
    return "invalid_blocks" if len(blocks) > 50 or too_long else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, help="file that messages are appended to")
    serve("receiver", Receiver(os.environ[SECRET_VARIABLE], parser.parse_args().file).app())


if __name__ == "__main__":
    main()
