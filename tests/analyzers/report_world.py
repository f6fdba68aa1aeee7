"""Three weeks of a made-up company's traffic, with what a report has to show: a release that was rolled back, errors of one
service, a service that fell silent, names in other scripts and names that look like HTML, and a day without data."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from sqlalchemy import Connection, insert

from analyzers.cost.pricing import Pricing
from schemas.control.analysis import drift_references
from schemas.control.core import projects
from schemas.control.targets import generations, targets
from schemas.rules import parse_rule
from schemas.settings import CostSettings
from storage.alerts import AlertRow, insert_alert
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from storage.drift import LookRow, insert_looks
from storage.rollbacks import Rollback, insert_rollback
from storage.rules import insert_rule
from storage.scores import CoverageRow, ScoreRow, insert_coverage, insert_scores
from tests.ingest.spans import ingest_spans, make_span

PROJECT = "ours"
LONG = "payments-reconciliation-assistant-for-the-northern-european-region-blue-deployment-canary"
MARKUP = '<script>alert("x")</script>&<b>bold</b>'
SCRIPTS = "客服机器人 · خدمة العملاء"


@dataclass(frozen=True)
class Service:
    """One service's traffic. `bad_from`: days into the second week from which a release or a fault makes it worse."""

    name: str
    per_day: int
    target: str
    model: str
    latency_ms: float
    output: float
    errors: float = 0.01
    toxic: float = 0.004
    unsupported: float | None = None


SERVICES = (
    Service("assistant", 60, "assistant", "gpt-4o", 900, 220),
    Service("handbook-search", 36, "handbook", "gpt-4o-mini", 1400, 160, unsupported=0.08),
    Service("billing-bot", 24, "billing", "claude-sonnet-4-5", 1100, 180, errors=0.02),
    Service(LONG, 6, "payments", "gpt-4o-mini", 700, 90),
    Service(SCRIPTS, 8, "客服", "gpt-4o-mini", 800, 120),
    Service(MARKUP, 5, "markup", "gpt-4o-mini", 600, 60),
)
SILENT = Service("legacy-faq", 5, "faq", "gpt-4o-mini", 500, 40)
SILENT_DAY = 12  # of the fourteen
BAD_DAYS = (9, 10)


def this_week(now: datetime | None = None) -> tuple[datetime, datetime]:
    """The last seven whole UTC days."""
    end = (now or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    return end - timedelta(days=7), end


async def fill(store: ClickHouseStore, control: ControlDatabase, start: datetime, scale: float = 1.0, seed: int = 7) -> None:
    """Traffic of [start - 14 days, start + 7 days), scores, coverage, alerts and a rollback."""
    chance = random.Random(seed)
    first = start - timedelta(days=14)
    for day in range(-7, 14):
        if day == SILENT_DAY:
            continue
        spans, scores = [], []
        begins = first + timedelta(days=day + 7)
        for service in (*SERVICES, *([SILENT] if day < 7 else [])):
            for span, row in _requests(service, day, begins, chance, scale):
                spans.append(span)
                scores += row
        received = begins + timedelta(days=1)
        await ingest_spans(store, PROJECT, spans, received_at=received)
        if day == -7:
            await Pricing(store, CostSettings(), lambda: start).run_once(received)  # names that later spans are priced by
        await insert_scores(store, scores)
        await insert_coverage(store, list(_coverage(scores, begins, day, received)))
    await insert_looks(store, list(_looks(start)))
    await control.write(lambda connection: _incidents(connection, start))


def _looks(start: datetime) -> Iterator[LookRow]:
    """Daily looks: the assistant's prompts drift from the fourth day on, the handbook's do not, billing has no reference."""
    for day in range(1, 8):
        time = start + timedelta(days=day)
        drifts = day >= 5
        base = LookRow(
            project=PROJECT, time=time, part="prompt", scale="1d", slice_service="assistant", slice_target="assistant",
            slice_release="", slice_model="", embedder="all-MiniLM-L6-v2@12ab34cd/bfloat16", verdict="no-drift",
            reason="1d window: score 0.9, alarm above 4.1", n=58, looked_at=time, window_n=116, window_units=2,
            effect=0.04, effect_low=0.0, effect_high=0.09, score=0.6 + 0.2 * day, threshold=4.1, alarm=0,
            second_opinion=0.3, reference_id=REFERENCE,
        )  # fmt: skip
        yield replace(base, slice_service="handbook-search", slice_target="handbook", score=0.4 + 0.1 * day)
        yield replace(base, slice_service="billing-bot", slice_target="billing", verdict="reference-too-small", effect=None,
                      effect_low=None, effect_high=None, score=None, threshold=None, alarm=None, reference_id="",
                      reason="the reference has 84 texts and needs 100 (analysis.drift.min_reference); more units are added "
                      "until it is large enough")  # fmt: skip
        if not drifts:
            yield base
            continue
        yield (
            strong := replace(
                base,
                verdict="drift",
                alarm=1,
                effect=0.19,
                effect_low=0.13,
                effect_high=0.25,
                second_opinion=1.2,
                score=4.1 + day,
                onset=start + timedelta(days=3),
                evidence=json.dumps(EVIDENCE),
                reason="2d window: score 10.1, alarm above 4.1",
            )
        )
        yield replace(strong, slice_release="2026-11-a")


def _near(text: str) -> dict[str, Any]:
    return {"text": text, "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331",
            "time": "2026-11-19T08:00:00Z", "release": "2026-11-a", "model": "gpt-4o"}  # fmt: skip


REFERENCE = "5f" * 16
EVIDENCE = {
    "exemplars": [
        {**_near("How do I dispute a charge from a merchant I do not recognise?"), "witness": 0.31,
         "nearest": {**_near("Why was my card charged twice?"), "cosine": 0.61}},
        {**_near("Meine Karte wurde im Ausland gesperrt <b>was nun?</b>"), "witness": 0.22, "nearest": None},
    ],
    "faded": [],
    "clusters": [
        {"share_then": 0.004, "share_now": 0.12, "examples": [_near("I want to dispute a charge on my statement")]},
        {"share_then": 0.02, "share_now": 0.05, "examples": [_near("card blocked abroad")]},
    ],
    "sampled": {"now": 116, "then": 800},
}  # fmt: skip


def _requests(
    service: Service, day: int, begins: datetime, chance: random.Random, scale: float
) -> Iterator[tuple[ResourceSpans, list[ScoreRow]]]:
    weekend = 0.45 if (begins.weekday() >= 5) else 1.0
    bad = day in BAD_DAYS and service.name == "assistant"
    broken = day >= 10 and service.name == "billing-bot"
    release = "2026-11-b" if bad else "2026-11-a"
    for _ in range(max(1, round(service.per_day * scale * weekend * chance.uniform(0.92, 1.08)))):
        at = begins + timedelta(seconds=chance.uniform(0, 86_399))
        trace, span = chance.randbytes(16), chance.randbytes(8)
        output = max(1, round(service.output * math.exp(chance.gauss(0, 0.5)) * (1.7 if bad else 1)))
        failed = chance.random() < (0.16 if broken else service.errors)
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic" if service.model.startswith("claude") else "openai",
            "gen_ai.response.model": service.model,
            "gen_ai.usage.input_tokens": round(900 * math.exp(chance.gauss(0, 0.4))),
            "gen_ai.usage.output_tokens": output,
            "tracewarden.target": service.target,
            "tracewarden.release": release,
        }
        duration = service.latency_ms / 1000 * math.exp(chance.gauss(0, 0.35)) * (1.5 if bad else 1)
        made = make_span(
            trace_id=trace,
            span_id=span,
            start=at,
            duration_s=duration,
            status=2 if failed else 0,
            attributes=attributes,
            resource={"service.name": service.name},
        )
        yield made, list(_scores(service, release, at, trace, span, bad, chance))


def _scores(
    service: Service, release: str, at: datetime, trace: bytes, span: bytes, bad: bool, chance: random.Random
) -> Iterator[ScoreRow]:
    def row(name: str, part: str, scorer: str, value: float | None, flagged: bool | None, reason: str = "") -> ScoreRow:
        return ScoreRow(
            project=PROJECT, name=name, part=part, scorer=scorer, source="analyzer", trace_id=trace, span_id=span,
            score_id="", time=at, received_at=at, log_partition=0, log_offset=0, service=service.name, environment="",
            operation="chat", provider="", model=service.model, target=service.target, release=release, user_id="",
            conversation_id="", value=value, flagged=None if flagged is None else int(flagged), label="", reason=reason,
            explanation="", evidence="", weight=1.0, scored_at=at,
        )  # fmt: skip

    toxic = chance.random() < service.toxic * (6 if bad else 1)
    yield row("toxicity", "completion", "toxicity@1/screen", 0.9 if toxic else 0.02, toxic)
    toxic = chance.random() < 0.012
    yield row("toxicity", "prompt", "toxicity@1/screen", 0.9 if toxic else 0.02, toxic)
    if service.unsupported is None:
        yield row("grounding", "completion", "grounding@1", None, None, "no-context")
    else:
        unsupported = chance.random() < service.unsupported
        yield row("grounding", "completion", "grounding@1", 0.2 if unsupported else 0.9, unsupported)
    for name, rate in (("refusal", 0.02), ("truncated", 0.01), ("empty", 0.002)):
        flagged = chance.random() < rate
        yield row(name, "completion", "quality@1", float(flagged), flagged)


def _coverage(scores: list[ScoreRow], begins: datetime, day: int, received: datetime) -> Iterator[CoverageRow]:
    for analyzer, name in (("toxicity", "toxicity"), ("grounding", "grounding"), ("quality", "refusal")):
        own = [row for row in scores if row.name == name and row.part == "completion"]
        for service in dict.fromkeys(row.service for row in own):
            rows = [row for row in own if row.service == service]
            abstained: dict[str, int] = {}
            for each in rows:
                if each.reason:
                    abstained[each.reason] = abstained.get(each.reason, 0) + 1
            yield CoverageRow(
                project=PROJECT, analyzer=analyzer, scorer=rows[0].scorer, log_partition=0, first_offset=day + 7, time=begins,
                received_at=begins, service=service, model="", target="", release="",
                wanted=len(rows) + (len(rows) // 3 if analyzer == "toxicity" else 0), looked_at=len(rows), failed=0,
                abstained=abstained, updated_at=received,
            )  # fmt: skip


def _incidents(connection: Connection, start: datetime) -> None:
    if connection.execute(projects.select().where(projects.c.name == PROJECT)).first() is None:
        connection.execute(insert(projects).values(name=PROJECT, created_at=start))
    _reference(connection, start)
    promoted, fired = start + timedelta(days=2), start + timedelta(days=3, hours=22)
    _target(connection, promoted)
    rule = parse_rule({"name": "fresh-release", "kind": "regression", "profile": "guard", "metrics": ["cost.usd", "latency"]})
    stored = insert_rule(connection, PROJECT, "api", rule, "ann", start)
    insert_alert(
        connection,
        _alert(stored.id, "al_01", "regression", "critical", "assistant: release 2026-11-b is worse than 2026-11-a", fired,
               fired + timedelta(minutes=9), "proposed"),
    )  # fmt: skip
    title = "errors: errors.rate above 0.05 for service billing-bot"
    since = start + timedelta(days=3, hours=2)
    insert_alert(connection, _alert("r2", "al_02", "threshold", "critical", title, since, None, ""))
    insert_rollback(
        connection,
        Rollback(
            id="rb_01", project=PROJECT, target="assistant", state="succeeded",
            state_reason="58 of 58 new spans carry 2026-11-a and cost.usd is back within its margin", mode="auto",
            automatic=True, actor="rule:fresh-release", reason="cost.usd: 61 % higher", from_release="2026-11-b",
            to_release="2026-11-a", from_weights={"2026-11-b": 100.0}, from_generation=2, created_at=fired,
            executed_at=fired + timedelta(seconds=4), finished_at=fired + timedelta(minutes=6),
        ),
    )  # fmt: skip


def _reference(connection: Connection, start: datetime) -> None:
    connection.execute(
        insert(drift_references).values(
            id=REFERENCE, project=PROJECT, slice_key="k", scale="1d", embedder_version="all-MiniLM-L6-v2@12ab34cd/bfloat16",
            slice={"part": "prompt", "service": "assistant", "target": "assistant", "release": "", "model": ""},
            mode="initial", starts_at=start - timedelta(days=14), ends_at=start, n=811, state={}, created_by="drift",
            created_at=start,
        )
    )  # fmt: skip


def _target(connection: Connection, promoted: datetime) -> None:
    values: dict[str, Any] = {"project": PROJECT, "generation": 2, "weights": {"2026-11-b": 100.0}, "kind": "promotion"}
    connection.execute(
        insert(targets).values(**values, name="assistant", changed_at=promoted, executor="desired", created_at=promoted)
    )
    connection.execute(insert(generations).values(**values, target="assistant", actor="ann", reason="", at=promoted))


def _alert(
    rule: str, alert_id: str, kind: str, severity: str, title: str, fired: datetime, resolved: datetime | None, rollback: str
) -> AlertRow:
    return AlertRow(
        id=alert_id, project=PROJECT, rule_id=rule, rule_name="fresh-release" if kind == "regression" else "errors",
        fingerprint=hashlib.sha256(alert_id.encode()).hexdigest()[:32], episode=1, kind=kind, severity=severity,
        state="resolved" if resolved else "firing", target="assistant" if kind == "regression" else "", labels={},
        notice={"title": title}, evidence=[], reason="cost.usd: 61 % higher, 99.95 % anytime-valid interval +38 % to +88 %",
        revision="1", fired_at=fired, resolved_at=resolved, notified_at=fired, rollback=rollback, rollback_id=None,
        rollback_detail=None,
    )  # fmt: skip
