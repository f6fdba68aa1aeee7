"""A survey as of the end of a good run."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.planted import Truth
from demo.survey import Share, Survey

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEW = BEGAN + timedelta(seconds=45)
NOW = BEGAN + timedelta(seconds=70)


def analyzer(looked_at: int = 600, **changed: Any) -> dict[str, Any]:
    coverage = {"wanted": 800, "looked_at": looked_at, "failed": 0, "share": looked_at / 800, "abstained": {}, "scorers": []}
    return {"name": "", "lag_s": 2.04, "last_error": None, "coverage": coverage | changed}


def look(part: str = "prompt", release: str = "", model: str = "", **changed: Any) -> dict[str, Any]:
    stream = {"part": part, "service": "support-assistant", "target": "support-assistant", "release": release, "model": model}
    found = {
        "stream": stream,
        "verdict": "drift",
        "reason": "the last 10s score 9.6, above the threshold 6.2 that holds for 28 looks",
        "time": (NEW + timedelta(seconds=10)).isoformat(),
        "effect": 0.14,
        "interval": [0.1, 0.18],
        "window_n": 90,
        "novelty": {"decisive": False},
        "onset": NEW.isoformat(),
        "differences": {
            "exemplars": [{"text": f"My bicycle was\nstolen {number}"} for number in range(5)],
            "novel": [{"text": "Colourless green ideas"}],
            "clusters": [{"share_now": 0.21, "share_then": 0.0, "examples": [{"text": "My bicycle was stolen"}]}],
        },
    }
    return found | changed


UNSUPPORTED = {
    "value": 0.01,
    "evidence": [
        {"text": "It is free.", "support": 0.9, "missing": [], "context": {"text": "It is free."}},
        {"text": "Later ones cost 79 euro.", "support": 0.01, "missing": ["79"], "context": {"text": "It is free."}},
    ],
}


def survey(**changed: Any) -> Survey:
    found: dict[str, Any] = {
        "now": NOW,
        "analyzers": {
            "toxicity": analyzer(),
            "grounding": analyzer(abstained={"grounding: no-context": 480, "grounding: refusal": 20}),
            "quality": analyzer(abstained={"language_mismatch: too-short": 200, "readability: not-english": 9}),
            "drift": analyzer(),
        },
        "shares": {
            "toxicity.prompt_share": Share(0.026, "toxicity-screen@1"),
            "grounding.unsupported_share": Share(0.25, "grounding@1"),
            "quality.refusal_share": Share(0.021, "quality@1"),
            "quality.language_mismatch_share": Share(0.02, "quality@1"),
        },
        "unsupported": UNSUPPORTED,
        "looks": (look(),),
        "support": Truth(Counter({"usual": 560, "toxic": 15, "new": 25}), {"usual": BEGAN, "toxic": BEGAN, "new": NEW}),
        "search": Truth(Counter({"faithful": 60, "beyond": 20, "refused": 12, "dutch": 8}), {"faithful": BEGAN}),
    }
    return Survey(**(found | changed))
