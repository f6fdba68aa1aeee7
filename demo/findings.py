"""From a survey to what each analyzer found, in words, with the planted truth beside it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from demo.customers import NEW_INTENT_SHARE
from demo.inquiries import JUDGED, SERVICE
from demo.planted import Truth
from demo.releases import TARGET
from demo.survey import Survey, is_prompts

Analyzer = Literal["toxicity", "grounding", "quality", "drift"]

LIMITS_S: Mapping[Analyzer, float] = {"toxicity": 180, "grounding": 180, "quality": 180, "drift": 180}
"""Seconds after the first request, for drift after the first new question, within which each must have found something."""

BEHIND_S = 30.0
PATIENCE_S = 600.0
"""An analyzer so far behind has missed nothing yet: on a busy machine its time begins when it has caught up, up to this."""

ENOUGH: Mapping[Analyzer, int] = {"toxicity": 200, "grounding": 40, "quality": 200}
"""Judgements that a share is told from for the first time."""

EXEMPLARS = 3
PARTS = {"prompt": "prompts", "completion": "completions", "query": "queries"}
QUOTE_CHARS = 110


@dataclass(frozen=True)
class Finding:
    """What an analyzer found. `name` is its key: of several findings with one name the first is told."""

    name: str
    title: str
    at: datetime
    lines: tuple[str, ...]


def findings_of(survey: Survey) -> list[Finding]:
    """Everything that is known by now."""
    found = [_toxicity(survey), _grounding(survey), _quality(survey), *map(_drift(survey), alarms(survey))]
    return [finding for finding in found if finding is not None]


def judged(survey: Survey, analyzer: Analyzer, score: str) -> int:
    """How many spans have a value of a score."""
    coverage = survey.analyzers.get(analyzer, {}).get("coverage")
    if coverage is None:
        return 0
    without = sum(count for reason, count in coverage["abstained"].items() if reason.partition(":")[0] == score)
    return max(0, int(coverage["looked_at"]) - int(coverage["failed"]) - int(without))


def coverage_line(survey: Survey, analyzer: Analyzer) -> str:
    """How much of what it wanted an analyzer looked at, and how far behind it is."""
    status = survey.analyzers[analyzer]
    coverage, lag_s = status["coverage"], status["lag_s"]
    behind = _behind(lag_s)
    if coverage is None:
        return f"nothing looked at yet, {behind}"
    return f"looked at {coverage['looked_at']} of {coverage['wanted']} spans ({percent(coverage['share'])}), {behind}"


def _behind(lag_s: float | None) -> str:
    return "not begun" if lag_s is None else f"{lag_s:.1f} s behind"


def is_behind(survey: Survey, analyzer: Analyzer) -> bool:
    """Whether it still reads what came long ago, or loads its model."""
    lag_s = survey.analyzers.get(analyzer, {}).get("lag_s")
    return lag_s is None or lag_s > BEHIND_S


def waiting_for(survey: Survey, names: Sequence[Analyzer]) -> str:
    """What is still to be heard of, and why it may take a while."""
    late = {name: _behind(survey.analyzers[name]["lag_s"]) for name in names if is_behind(survey, name)}
    told = [f"{name} ({late[name]})" if name in late else name for name in names]
    return f"waiting for {' and '.join([', '.join(told[:-1]), told[-1]] if len(told) > 1 else told)}"


def overdue(
    survey: Survey, told: Sequence[str], began: datetime, caught_up: Mapping[str, datetime] | None = None, *, healthy: bool
) -> str | None:
    """The first analyzer that should have found something by now, in words, or None. `caught_up`: when it was behind last."""
    since: dict[Analyzer, datetime] = {"toxicity": began, "grounding": began, "quality": began}
    if not healthy and "new" in survey.support.since:
        since["drift"] = survey.support.since["new"]
    for analyzer, start in since.items():
        error = survey.analyzers.get(analyzer, {}).get("last_error")
        patient = start + timedelta(seconds=PATIENCE_S)
        due = max(start, (caught_up or {}).get(analyzer, start)) + timedelta(seconds=LIMITS_S[analyzer])
        due = patient if is_behind(survey, analyzer) else min(due, patient)
        due = start + timedelta(seconds=LIMITS_S[analyzer]) if error else due
        if analyzer not in told and survey.now > due:
            said = f": {error}" if error else f" ({coverage_line(survey, analyzer)})"
            return f"{analyzer} found nothing within {(due - start).total_seconds():.0f} s of what was planted{said}"
    return None


def alarms(survey: Survey) -> list[Mapping[str, Any]]:
    """Looks that call it drift, of all traffic of an application or of one release of it."""
    return [look for look in survey.looks if look["verdict"] == "drift" and not look["stream"]["model"]]


def false_alarm(survey: Survey, *, healthy: bool) -> str | None:
    """A drift that cannot be one, or None: in the healthy story nothing changes, in the other questions do from a moment on."""
    since = survey.support.since.get("new", survey.now)
    for look in alarms(survey):
        if healthy or (is_prompts(look) and _time(look["time"]) < since):
            return f"drift of the {_stream(look)}, although nothing has changed: {look['reason']}"
    return None


def calm_since(survey: Survey, moment: datetime) -> bool:
    """Whether drift has looked at the prompts of later than `moment`, and says that they are as before."""
    return any(is_prompts(look) and look["verdict"] == "no-drift" and _time(look["time"]) > moment for look in survey.looks)


def percent(share: float | None) -> str:
    """With a decimal below ten."""
    if share is None:
        return "?"
    return f"{share * 100:.0f} %" if share >= 0.0995 else f"{share * 100:.1f} %"


def _toxicity(survey: Survey) -> Finding | None:
    share, n = survey.shares["toxicity.prompt_share"], judged(survey, "toxicity", "toxicity")
    if not share.value or n < ENOUGH["toxicity"]:
        return None
    toxic = survey.support.counts["toxic"]
    planted = f"{percent(_part(toxic, _asked(survey)))} ({toxic} of {_asked(survey)})"
    return _finding(
        survey,
        "toxicity",
        f"{percent(share.value)} of {n} prompts are toxic, says {share.scorer}; planted: {planted}",
    )


def _grounding(survey: Survey) -> Finding | None:
    share, n = survey.shares["grounding.unsupported_share"], judged(survey, "grounding", "grounding")
    if not share.value or n < ENOUGH["grounding"] or survey.unsupported is None:
        return None
    planted = percent(survey.search.share("beyond", JUDGED))
    return _finding(
        survey,
        "grounding",
        f"{percent(share.value)} of {n} answers with documents go beyond them, says {share.scorer}; planted: {planted}",
        *_evidence(survey.unsupported),
    )


def _quality(survey: Survey) -> Finding | None:
    refused, foreign = survey.shares["quality.refusal_share"], survey.shares["quality.language_mismatch_share"]
    n = judged(survey, "quality", "refusal")
    if not refused.value or not foreign.value or n < ENOUGH["quality"]:
        return None
    answers = _asked(survey)
    planted = {kind: percent(_part(survey.search.counts[kind], answers)) for kind in ("refused", "dutch")}
    others = judged(survey, "quality", "language_mismatch")
    return _finding(
        survey,
        "quality",
        f"{percent(refused.value)} of {n} answers refuse; planted: {planted['refused']}",
        f"{percent(foreign.value)} of {others} answers of sure language are in another than the question; "
        f"planted: {planted['dutch']} of all",
    )


def _drift(survey: Survey) -> Callable[[Mapping[str, Any]], Finding]:
    def found(look: Mapping[str, Any]) -> Finding:
        prompts = is_prompts(look)
        name = "drift" if prompts else f"drift of {_stream(look)}"
        lines = [f"{_stream(look)}, up to {_time(look['time']):%H:%M:%S}: {look['reason']}", _distance(look)]
        if prompts:
            lines += [*_planted_intents(survey.support), *_exemplars(look), coverage_line(survey, "drift")]
        return Finding(name, "drift", survey.now, tuple(lines))

    return found


def _finding(survey: Survey, analyzer: Analyzer, *lines: str) -> Finding:
    return Finding(analyzer, analyzer, survey.now, (*lines, coverage_line(survey, analyzer)))


def _evidence(review: Mapping[str, Any]) -> list[str]:
    """The least supported sentence of an answer, and the place of the documents that is nearest to it."""
    weakest = min(review["evidence"], key=lambda one: float(one["support"]))
    missing = f", not in them: {', '.join(weakest['missing'])}" if weakest["missing"] else ""
    return [
        f"“{quote(weakest['text'])}” (support {weakest['support']:.2f}{missing})",
        f"nearest in the documents: “{quote(weakest['context']['text'])}”",
    ]


def _stream(look: Mapping[str, Any]) -> str:
    stream = look["stream"]
    release = f" on {stream['release']}" if stream["release"] else ""
    return f"{PARTS[stream['part']]} of {stream['service']}{release}"


def _distance(look: Mapping[str, Any]) -> str:
    low, high = look["interval"]
    said = f"MMD {look['effect']:.3f}, between {low:.3f} and {high:.3f}, of {look['window_n']} texts"
    return f"{said}; it began about {_time(look['onset']):%H:%M:%S}" if look["onset"] else said


def _planted_intents(truth: Truth) -> list[str]:
    if "new" not in truth.since:
        return []
    return [
        f"planted: {percent(NEW_INTENT_SHARE)} of questions about theft and insurance, from {truth.since['new']:%H:%M:%S} on"
    ]


def _exemplars(look: Mapping[str, Any]) -> list[str]:
    """What is new, and the group of texts whose share grew most."""
    differences = look["differences"] or {"exemplars": [], "novel": [], "clusters": []}
    novel = look["novelty"] is not None and look["novelty"]["decisive"]
    lines = [f"new: “{quote(one['text'])}”" for one in differences["novel" if novel else "exemplars"][:EXEMPLARS]]
    grown = max(differences["clusters"], key=lambda one: float(one["share_now"] - one["share_then"]), default=None)
    if grown is not None and grown["examples"]:
        said = f"{percent(grown['share_now'])} now, {percent(grown['share_then'])} in the reference"
        lines.append(f"a group of similar ones: {said}")
    return lines


def quote(text: str) -> str:
    """As much of a text as fits into a line."""
    plain = " ".join(text.split())
    return plain if len(plain) <= QUOTE_CHARS else plain[: QUOTE_CHARS - 1] + "…"


def _asked(survey: Survey) -> int:
    return survey.support.counts.total() + survey.search.counts.total()


def _part(count: int, total: int) -> float | None:
    return count / total if total else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


PLACES = (
    f"/v1/metrics/toxicity.prompt_share?service={TARGET}&group_by=release",
    f"/v1/metrics/grounding.unsupported_share?service={SERVICE}",
    "/v1/reviews?name=grounding&limit=5",
    "/v1/drift",
    "/v1/status",
)
"""Where a person reads on."""
