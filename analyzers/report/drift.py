"""What drifted in a range, as the looks at drift decided then: deciding again here would spend from the budget twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta

from analyzers.report.data import BudgetRow, Cluster, Drift, DriftPoint, DriftStream, Exemplar
from analyzers.report.figures import Ranges
from analyzers.report.sources import Sources
from schemas.duration import parse_duration
from storage.drift import LookRow, looks_between
from storage.drift_references import StoredReference, list_references

LISTED = 16
SHOWN_LOOKS = 200
SHOWN_TEXTS = 3
TEXT_CHARS = 240
JUDGED = ("drift", "no-drift")
BUDGET_UNITS = 28

Key = tuple[str, str, str]
References = Mapping[str, StoredReference]


async def read_drift(sources: Sources, project: str, ranges: Ranges) -> tuple[Drift, list[BudgetRow]]:
    """Every (service, target) and part looked at within the range, and the false alarms that its looks may have spent."""
    settings = sources.settings.analysis.drift
    known = await sources.control.read(lambda connection: list_references(connection, project, retired=True))
    references = {reference.id: reference for reference in known}
    looks: list[LookRow] = []
    for scale in settings.scales:
        looks += await looks_between(sources.store, project, scale, ranges.start, ranges.end)
    streams = sorted((_stream(own, references) for own in _by_stream(looks).values()), key=_rank)
    if not streams:
        return Drift(
            missing="no stream of texts was looked at in this range: drift is off, or no unit of time has closed yet"
        ), []
    return Drift(streams=streams[:LISTED], more=max(0, len(streams) - LISTED)), [_budget(looks, settings.false_alarm_rate)]


def _by_stream(looks: Sequence[LookRow]) -> dict[Key, list[LookRow]]:
    """Looks at a part of a (service, target) and at its releases and models, at every scale."""
    found: dict[Key, list[LookRow]] = {}
    for look in looks:
        found.setdefault((look.part, look.slice_service, look.slice_target), []).append(look)
    return found


def _rank(stream: DriftStream) -> tuple[bool, bool, float]:
    return stream.verdict != "drift", stream.verdict not in JUDGED, -(stream.score or 0.0)


def _stream(looks: Sequence[LookRow], references: References) -> DriftStream:
    """The stream as its strongest drifting look tells, else the latest judged one, else the latest; the whole before slices."""
    chosen = max(looks, key=_weight)
    own = [look for look in looks if look.stream == chosen.stream and look.scale == chosen.scale]
    own.sort(key=lambda look: look.time)
    drifting = [look for look in own if look.verdict == "drift"]
    later = [look for look in own if drifting and look.time > drifting[-1].time and look.verdict == "no-drift"]
    reference = references.get(chosen.reference_id)
    found = json.loads(chosen.evidence)
    novel = bool(json.loads(chosen.novelty).get("decisive"))
    score, threshold = _scan(chosen, novel=novel)
    return DriftStream(
        labels={name: str(value) for name, value in asdict(chosen.stream.slice).items()},
        part=chosen.part,
        scale=chosen.scale,
        verdict=chosen.verdict,
        reason=chosen.reason,
        at=chosen.time,
        effect=chosen.effect,
        low=chosen.effect_low,
        high=chosen.effect_high,
        scan="novelty" if novel else "means",
        score=score,
        threshold=threshold,
        window_units=chosen.window_units,
        n=chosen.window_n or chosen.n,
        n_reference=reference.n if reference else None,
        onset=chosen.onset,
        detected_at=drifting[0].time if drifting else None,
        until=later[0].time if later else None,
        second_opinion=chosen.second_opinion,
        looks=[DriftPoint(at=look.time, score=_scan(look, novel=novel)[0], n=look.n) for look in own[-SHOWN_LOOKS:]],
        slices=_slices(looks, chosen),
        clusters=_clusters(found),
        exemplars=_exemplars(found.get("novel" if novel else "exemplars")),
        reference=_reference(reference),
        embedder=chosen.embedder,
    )


def _scan(look: LookRow, *, novel: bool) -> tuple[float | None, float | None]:
    """Score and threshold of one of the two scans."""
    if not novel:
        return look.score, look.threshold
    found = json.loads(look.novelty)
    return found.get("score"), found.get("threshold")


def _weight(look: LookRow) -> tuple[bool, bool, bool, timedelta, float, float]:
    drifts = look.verdict == "drift"
    whole = look.stream.slice.level == "service"
    strength = (look.score or 0.0) if drifts else look.time.timestamp()
    return drifts, look.verdict in JUDGED, whole, parse_duration(look.scale), strength, look.time.timestamp()


def _slices(looks: Sequence[LookRow], chosen: LookRow) -> list[str]:
    """Releases and models that drifted by themselves, with their strongest effect."""
    strongest: dict[str, float] = {}
    for look in looks:
        level = look.stream.slice.level
        if look.verdict == "drift" and level != "service" and look.stream != chosen.stream and look.effect is not None:
            name = f"{level} {look.slice_release or look.slice_model}"
            strongest[name] = max(strongest.get(name, 0.0), look.effect)
    ranked = sorted(strongest.items(), key=lambda item: (-item[1], item[0]))
    return [f"{name} (effect {effect:.2g})" for name, effect in ranked[:SHOWN_TEXTS]]


def _clusters(found: Mapping[str, object]) -> list[Cluster]:
    rows = found.get("clusters")
    clusters = [
        Cluster(
            text=_cut(str(row["examples"][0]["text"])) if row["examples"] else "",
            share_before=float(row["share_then"]),
            share_now=float(row["share_now"]),
        )
        for row in (rows if isinstance(rows, list) else [])
    ]
    risen = [cluster for cluster in clusters if cluster.text and cluster.share_now > cluster.share_before]
    return sorted(risen, key=lambda cluster: cluster.share_before - cluster.share_now)[:SHOWN_TEXTS]


def _exemplars(rows: object) -> list[Exemplar]:
    return [
        Exemplar(
            text=_cut(str(row["text"])),
            witness=float(row["witness"]),
            trace_id=str(row["trace_id"]),
            span_id=str(row["span_id"]),
            nearest=_cut(str(row["nearest"]["text"])) if row.get("nearest") else "",
        )
        for row in (rows if isinstance(rows, list) else [])[:SHOWN_TEXTS]
    ]


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 1]}…"


def _reference(reference: StoredReference | None) -> str:
    if reference is None:
        return ""
    return f"{reference.mode}, {reference.starts_at:%Y-%m-%d %H:%M} to {reference.ends_at:%Y-%m-%d %H:%M} UTC"


def _budget(looks: Sequence[LookRow], rate: float) -> BudgetRow:
    """Each stream has its own budget; what that means for all of them together is said beside it."""
    judged = [look for look in looks if look.verdict in JUDGED]
    streams = {look.stream for look in judged}
    longest = max((parse_duration(look.scale) for look in judged), default=timedelta(0))
    units = {look.time for look in judged if parse_duration(look.scale) == longest}
    together = 1 - (1 - rate) ** len(streams)
    detail = (
        f"{len(judged):,} looks at {len(streams):,} streams; if none drifted, the chance that any of them alarms within "
        f"{BUDGET_UNITS} units is up to {together * 100:.2g} %"
    )
    return BudgetRow(
        what="embedding drift",
        subject="each stream of texts",
        rate=rate,
        per=f"stream and {BUDGET_UNITS} units",
        used=min(1.0, len(units) / BUDGET_UNITS) if judged else 0.0,
        detail=detail if judged else "no look could be judged yet",
    )
