"""A signed POST to a configured address (Standard Webhooks)."""

from __future__ import annotations

import json
from collections.abc import Sequence

import httpx
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from alerting.executors.contract import ExecutionError, Order, Poster
from alerting.http import OutgoingRefusedError
from alerting.targets import Clock
from schemas.sections import WebhookChannel
from schemas.settings import read_secret


class WebhookExecutor:
    """Any answer but 2xx is a failure. `webhook-id` is the rollback's id, the same at every attempt."""

    def __init__(self, webhooks: Sequence[WebhookChannel], client: Poster, clock: Clock) -> None:
        self._urls = {webhook.name: webhook.url for webhook in webhooks}
        self._signers = {webhook.name: _signer(webhook) for webhook in webhooks}
        self._client = client
        self._clock = clock

    async def execute(self, order: Order) -> None:
        """POST {type, rollback_id, target, from, to, generation}.

        Raises:
            ExecutionError: not delivered; permanent where the address is not configured or not allowed.
        """
        name = order.webhook
        if name is None or name not in self._urls:
            raise ExecutionError(f"rollback.webhooks has no webhook {name!r}: add it there", permanent=True)
        body = _body(order)
        answer = await self._post(self._urls[name], body, self._headers(name, order.rollback_id, body))
        if not answer.is_success:
            raise ExecutionError(f"webhook {name} answered {answer.status_code}: 2xx is needed")

    async def _post(self, url: str, body: str, headers: dict[str, str]) -> httpx.Response:
        try:
            return await self._client.post(url, content=body.encode(), headers=headers)
        except OutgoingRefusedError as error:
            raise ExecutionError(str(error), permanent=True) from error
        except httpx.TransportError as error:
            raise ExecutionError(f"no answer from the webhook ({type(error).__name__}: {error})") from error

    def _headers(self, name: str, message_id: str, body: str) -> dict[str, str]:
        now = self._clock()
        return {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signers[name].sign(message_id, now, body),
        }


def _signer(webhook: WebhookChannel) -> Webhook:
    secret = read_secret(webhook.secret, webhook.secret_file)
    if secret is None:
        raise ValueError(f"webhook {webhook.name} has no secret: set secret or secret_file")
    try:
        return Webhook(secret.get_secret_value())
    except (ValueError, EmptyWebhookSecretError) as error:
        raise ValueError(f"the secret of webhook {webhook.name} is not `whsec_` and base64: make one anew") from error


def _body(order: Order) -> str:
    return json.dumps(
        {
            "type": "rollback.execute",
            "rollback_id": order.rollback_id,
            "project": order.project,
            "target": order.target,
            "from": order.from_release,
            "to": order.to_release,
            "generation": order.generation,
        }
    )
