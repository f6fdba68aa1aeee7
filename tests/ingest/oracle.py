"""What must hold of spans after faults, whatever the faults were.

Every acknowledged span is delivered; every delivered span was sent, once, with the payload it was sent with; a fresh span
flows after the faults; and enough was acknowledged for the rest to mean anything.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest.envelope import Envelope
from storage.clickhouse import ClickHouseStore
from tests.ingest.spans import make_envelope, make_span

PAYLOAD = "payload"
DELIVERED = f"SELECT lower(hex(span_id)) AS id, attributes['{PAYLOAD}'] AS payload FROM spans"
Span = tuple[str, str]
"""(span id in hexadecimal, payload)"""


def kills(default: int) -> int:
    """How often a test kills: FAULT_KILLS in the environment, for a longer run than the default one."""
    return int(os.environ.get("FAULT_KILLS", default))


@dataclass
class Ledger:
    """What was sent and what of it was acknowledged."""

    sent: set[Span] = field(default_factory=set)
    acknowledged: set[Span] = field(default_factory=set)
    retries: int = 0

    def batch(self, size: int, payload_bytes: int = 200) -> tuple[Envelope, set[Span]]:
        """One new request, noted as sent."""
        made = [(os.urandom(8), os.urandom(payload_bytes).hex()) for _ in range(size)]
        spans = {(span_id.hex(), payload) for span_id, payload in made}
        self.sent |= spans
        envelope = make_envelope("default", [make_span(span_id=i, attributes={PAYLOAD: text}) for i, text in made])
        return envelope, spans


@dataclass(frozen=True)
class Verdict:
    """Counts of spans."""

    acknowledged: int
    lost: int
    doubled: int
    never_sent: int

    def __str__(self) -> str:
        return f"{self.acknowledged} acknowledged, {self.lost} lost, {self.doubled} doubled, {self.never_sent} never sent"

    @property
    def clean(self) -> bool:
        """Nothing is wrong, and enough happened."""
        return self.acknowledged > 0 and not (self.lost or self.doubled or self.never_sent)


def judge(ledger: Ledger, delivered: Iterable[Span]) -> Verdict:
    """Compare what was acknowledged with what is in the store."""
    found = Counter(delivered)
    return Verdict(
        acknowledged=len(ledger.acknowledged),
        lost=len(ledger.acknowledged - found.keys()),
        doubled=sum(count - 1 for count in found.values()),
        never_sent=len(found.keys() - ledger.sent),
    )


async def delivered(store: ClickHouseStore) -> list[Span]:
    """Every row of the store, doubles included."""
    return [(row["id"], row["payload"]) for row in await store.query(DELIVERED)]


async def all_delivered(store: ClickHouseStore, ledger: Ledger) -> bool:
    """Whether everything acknowledged is in the store by now."""
    return ledger.acknowledged <= set(await delivered(store))


def report(name: str, verdict: Verdict, **counts: int) -> None:
    """One line for whoever reads the run (`pytest -rP` shows it)."""
    print(f"{name}: {verdict}, " + ", ".join(f"{count} {what}" for what, count in counts.items()))
