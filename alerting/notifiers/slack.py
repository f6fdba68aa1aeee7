"""Slack incoming webhooks: Block Kit within Slack's limits, with every text from outside escaped.

Limits: https://docs.slack.dev/reference/block-kit/blocks (50 blocks, 3,000 characters a section, 150 a header), about
13,000 characters in all, one message a second and channel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alerting.http import GuardedClient
from alerting.notices import Notice
from alerting.notifiers.contract import Envelope, post
from alerting.notifiers.webhook import absolute
from alerting.reports import ReportNotice
from alerting.wording import effect_text, interval_text, size_text
from schemas.evidence import Evidence

MAX_BLOCKS = 50
MAX_SECTION = 3000
MAX_HEADER = 150
MAX_FIELD = 2000
MAX_CHARACTERS = 13_000
MAX_COMPARISONS = 5

_VERDICTS = {"worse": "worse too", "better": "better", "same": "the same", "not_yet": "not certain"}

_RESERVED_BLOCKS = 1
_RESERVED_CHARACTERS = 500

Block = dict[str, Any]


class SlackNotifier:
    """Posts to one incoming webhook."""

    def __init__(self, client: GuardedClient, url: str, public_url: str | None) -> None:
        self._client = client
        self._url = url
        self._public_url = public_url

    async def send(self, envelope: Envelope) -> None:
        """As `Notifier.send`. Slack knows no message ids: a repetition after a crash shows twice."""
        body = json.dumps(payload(envelope, self._public_url), ensure_ascii=False)
        await post(self._client, self._url, body.encode(), {"content-type": "application/json"}, envelope.sent_at)


def payload(envelope: Envelope, public_url: str | None) -> dict[str, Any]:
    """The body of a message; alerts that do not fit are counted in its last line."""
    if envelope.report is not None:
        return report_payload(envelope.report, public_url)
    blocks: list[Block] = []
    for place, notice in enumerate(envelope.notices):
        added = alert_blocks(notice, public_url)
        left = len(envelope.notices) - place
        if not _fits([*blocks, *added], reserve=left > 1):
            blocks.append(_context([f"{left} more alerts of this group: see GET /v1/alerts."]))
            break
        blocks += added
    headline = "; ".join(_headline(notice) for notice in envelope.notices)
    return {"text": escape(headline, MAX_SECTION), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def report_payload(report: ReportNotice, public_url: str | None) -> dict[str, Any]:
    """The body of a message about a report: what matters, the leading figures, where the whole is."""
    title = f"{'REPORT, please look' if report.alarming else 'REPORT'} · {report.title}"
    figures = [_text(f"*{escape(name, 100)}*\n{escape(value, 300)}") for name, value in report.figures.items()]
    blocks: list[Block] = [
        {"type": "header", "text": {"type": "plain_text", "text": escape(title, MAX_HEADER), "emoji": False}},
        _section(escape("\n".join(f"• {line}" for line in report.lines), MAX_SECTION)),
        *([{"type": "section", "fields": figures[:10]}] if figures else []),
        _context(_links(report.links, public_url)),
    ]
    text = escape(f"{report.title}: {report.headline}", MAX_SECTION)
    return {"text": text, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def alert_blocks(notice: Notice, public_url: str | None) -> list[Block]:
    """The blocks of one alert."""
    blocks: list[Block] = [
        {"type": "header", "text": {"type": "plain_text", "text": escape(_headline(notice), MAX_HEADER), "emoji": False}},
        _section(escape(_opening(notice), MAX_SECTION)),
    ]
    asked = [_section(escape(text, MAX_FIELD)) for text in (notice.annotations.get("next_step"),) if text]
    return [*blocks, *_comparisons(notice), *asked, _context([_facts(notice), *_links(notice.links, public_url)])]


def escape(text: str, limit: int) -> str:
    """Text that cannot ping, link or format: Slack's three characters escaped, cut to `limit` without cutting an escape."""
    clean = "".join(character if character.isprintable() or character == "\n" else " " for character in text)
    pieces = ({"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(character, character) for character in clean)
    kept: list[str] = []
    length = 0
    for piece in pieces:
        length += len(piece)
        kept.append(piece)
        if length > limit:
            return _cut(kept, limit)
    return "".join(kept)


def _cut(pieces: list[str], limit: int) -> str:
    length = sum(map(len, pieces))
    while length > limit - 1:
        length -= len(pieces.pop())
    return "".join(pieces) + "…"


def _headline(notice: Notice) -> str:
    word = "FIRING" if notice.firing else "RESOLVED"
    word = {"flapping": "FLAPPING", "digest": f"CALMED, {word}"}.get(notice.transition, word)
    return f"{'ROLLBACK' if notice.kind == 'rollback' else word} · {notice.title}"


def _opening(notice: Notice) -> str:
    """What is wrong in a sentence; the figures of a comparison follow in a table."""
    worse = [evidence for evidence in notice.evidence if evidence.verdict == "worse"]
    if notice.kind != "regression" or not notice.firing or not worse:
        return notice.summary
    metrics = ", ".join(f"{evidence.metric} {effect_text(evidence)}" for evidence in worse)
    return f"Worse than {worse[0].baseline} by more than is allowed: {metrics}."


def _comparisons(notice: Notice) -> list[Block]:
    """The leading comparison in full and the others in a line each; once it is over or acted on, what it was about, once."""
    if not notice.evidence:
        return []
    first, *others = notice.evidence[:MAX_COMPARISONS]
    if notice.kind == "rollback" or not notice.firing:
        if first.reason and first.reason in notice.summary:
            return []
        counts = f"{first.n_candidate} requests of {first.candidate} against {first.n_baseline} of {first.baseline}"
        return [_section(escape(f"It was about {_line(first)}, {counts}.", MAX_SECTION))]
    also = escape("\n".join(_judged(evidence) for evidence in others), MAX_FIELD)
    return [_comparison(first), *([_section(f"*Compared as well*\n{also}")] if others else [])]


def _line(evidence: Evidence) -> str:
    return f"{evidence.metric} {effect_text(evidence)}, interval {interval_text(evidence)}"


def _judged(evidence: Evidence) -> str:
    verdict = f": {_VERDICTS[evidence.verdict]}" if evidence.verdict else ""
    return f"{_line(evidence)}{verdict}"


def _comparison(evidence: Evidence) -> Block:
    window = f"{evidence.window_start:%H:%M:%S} to {evidence.window_end:%H:%M:%S} UTC"
    figures = {
        "Metric": f"{evidence.metric} ({evidence.unit})",
        "Effect": effect_text(evidence),
        "Interval": interval_text(evidence),
        "Requests": f"{evidence.n_candidate} of {evidence.candidate}, {evidence.n_baseline} of {evidence.baseline}",
        "Baseline": evidence.baseline,
        "Window": window,
    }
    if evidence.allowed is not None:
        figures["Allowed"] = size_text(evidence.metric, evidence.allowed if (evidence.effect or 0) >= 0 else -evidence.allowed)
    fields = [_text(f"*{name}*\n{escape(value, MAX_FIELD - 20)}") for name, value in figures.items()]
    return {"type": "section", "fields": fields}


def _facts(notice: Notice) -> str:
    facts = [f"{name} {notice.labels[name]}" for name in ("severity", "project", "alertname") if name in notice.labels]
    if notice.kind == "rollback" and "actor" in notice.annotations:
        facts.append(f"asked for by {notice.annotations['actor']}")
    return escape(" · ".join(facts), 300)


def _links(links: Mapping[str, str], public_url: str | None) -> list[str]:
    if public_url is None:
        return [f"{_label(name)}: `{escape(path, 400)}`" for name, path in links.items()]
    return [f"<{_url(absolute(path, public_url))}|{_label(name)}>" for name, path in links.items()]


def _label(name: str) -> str:
    """The first digits of a trace id tell traces apart; the address has them all."""
    return escape(name, 15)


def _url(url: str) -> str:
    """An address inside <…|…>: neither sign may end it early."""
    return escape(url.replace("|", "%7C").replace(">", "%3E").replace("<", "%3C").replace(" ", "%20"), 1000)


def _section(mrkdwn: str) -> Block:
    return {"type": "section", "text": _text(mrkdwn)}


def _context(texts: list[str]) -> Block:
    return {"type": "context", "elements": [_text(text) for text in texts[:10]]}


def _text(mrkdwn: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": mrkdwn, "verbatim": True}


def _fits(blocks: list[Block], *, reserve: bool) -> bool:
    spare_blocks, spare = (_RESERVED_BLOCKS, _RESERVED_CHARACTERS) if reserve else (0, 0)
    size = len(json.dumps(blocks, ensure_ascii=False))
    return len(blocks) <= MAX_BLOCKS - spare_blocks and size <= MAX_CHARACTERS - spare - MAX_SECTION
