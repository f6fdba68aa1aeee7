"""Numbers, times and names as people read them, in one place for HTML, Markdown and the short text."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from analyzers.report.data import Change, CostBudget, Figure

NO_DATA = "no data"
MINUS = "\N{MINUS SIGN}"
THIN = "\N{NARROW NO-BREAK SPACE}"
EN_DASH = "\N{EN DASH}"

TITLES = {
    "requests.count": "Requests",
    "errors.rate": "Error rate",
    "latency.p50": "Latency, median",
    "latency.p95": "Latency, 95th percentile",
    "cost.usd": "Cost",
    "tokens.input": "Input tokens",
    "tokens.output": "Output tokens",
    "time_to_first_token.p50": "Time to first token, median",
}

_SCALES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def made(at: datetime, by: str, time_zone: str) -> str:
    """Made Mon 9 Mar 08:00 as scheduled."""
    how = {"schedule": "as scheduled", "anonymous": "on demand"}.get(by, f"on demand by {name(by)}")
    return f"Made {moment(at, time_zone)} {how}"


def title_of(metric: str) -> str:
    """A metric in words."""
    return TITLES.get(metric, metric)


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit: 1,234, 12.3 M, $4.20, 850 ms, 3.2 %; `no data` for none."""
    if value is None or not math.isfinite(value):
        return NO_DATA
    if unit == "ratio":
        return percent(value)
    if unit == "USD":
        return dollars(value)
    if unit == "ms":
        return milliseconds(value)
    return count(value)


def count(value: float) -> str:
    """Whole up to a million (1,234), scaled above (12.3 M)."""
    if abs(value) < 1e6:
        return signed_text(
            value, f"{abs(value):,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{abs(value):.3g}"
        )
    size, letter = next((size, letter) for size, letter in _SCALES if abs(value) >= size)
    return signed_text(value, f"{_three(abs(value) / size)}{THIN}{letter}")


def percent(share: float) -> str:
    """3.2 %, 0.04 %, 100 %."""
    size = abs(share) * 100
    return signed_text(share, f"{_digits(size, 2 if size < 10 else 3)}{THIN}%")


def dollars(value: float) -> str:
    """$1,234, $12.30, $0.0042."""
    size = abs(value)
    if size < 5e-7:  # less than the least price of a token: what is left is rounding
        return "$0"
    if size >= 1e6:
        return signed_text(value, f"${count(size)}")
    if size >= 1000:
        return signed_text(value, f"${size:,.0f}")
    return signed_text(value, f"${size:.2f}" if size >= 0.1 else f"${_digits(size, 2)}")


def milliseconds(value: float) -> str:
    """850 ms, 1.24 s, 3.5 min."""
    size = abs(value)
    if size < 1000:
        return signed_text(value, f"{_three(size)}{THIN}ms")
    if size < 120_000:
        return signed_text(value, f"{_three(size / 1000)}{THIN}s")
    return signed_text(value, f"{_three(size / 60_000)}{THIN}min")


def effect(change: Change, value: float | None = None) -> str:
    """+12 %, −0.8 pts, ×3.4."""
    size = change.effect if value is None else value
    number, unit = _effect(change, size)
    return f"{number}{THIN}{unit}" if unit else number


def change_interval(change: Change) -> str:
    """−3 to +8 %; empty where there is none."""
    if change.low is None or change.high is None:
        return ""
    (low, unit), (high, same) = _effect(change, change.low), _effect(change, change.high)
    if unit == same:
        return f"{low} to {high}{THIN}{unit}" if unit else f"{low} to {high}"
    return f"{effect(change, change.low)} to {effect(change, change.high)}"


def like_for_like(figure: Figure) -> str:
    """Which days a change is of, where it leaves some out: on the 6 of 7 days that both ranges have; else empty."""
    partly = on_days(figure)
    return f"{partly.replace('on ', 'on the ')} that both ranges have" if partly else ""


def on_days(figure: Figure) -> str:
    """The same in short: on 6 of 7 days."""
    if figure.change is None or not figure.change.left_out:
        return ""
    whole = len(figure.points)
    return f"on {whole - figure.change.left_out} of {whole} days"


def texts(part: str) -> str:
    """prompts, completions, queries."""
    return f"{part[:-1]}ies" if part.endswith("y") else f"{part}s"


def budgeted(budget: CostBudget) -> str:
    """What a budget is for: the project, target assistant."""
    return f"{budget.dimension} {short(budget.value)}" if budget.dimension else "the project"


def share_interval(figure: Figure) -> str:
    """2.9–3.5 %; empty where there is none."""
    if figure.interval is None:
        return ""
    low, high = figure.interval
    return f"{_digits(low * 100, 2)}{EN_DASH}{_digits(high * 100, 2)}{THIN}%"


def p_text(value: float) -> str:
    """p = 0.03, p < 0.0001."""
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def moment(at: datetime, time_zone: str) -> str:
    """Tue 3 Mar 14:05."""
    local = at.astimezone(ZoneInfo(time_zone))
    return f"{local:%a} {local.day} {local:%b %H:%M}"


def day(at: datetime, time_zone: str) -> str:
    """Tue 3 Mar."""
    local = at.astimezone(ZoneInfo(time_zone))
    return f"{local:%a} {local.day} {local:%b}"


def span(start: datetime, end: datetime, time_zone: str) -> str:
    """2 Mar to 8 Mar 2026 where whole days are meant, else with hours."""
    zone = ZoneInfo(time_zone)
    first, last = start.astimezone(zone), end.astimezone(zone)
    if not _is_midnight(first) or not _is_midnight(last):
        same = first.date() == last.date()
        return (
            f"{first.day} {first:%b %Y %H:%M} to {last:%H:%M}"
            if same
            else f"{first.day} {first:%b %Y %H:%M} to {last.day} {last:%b %Y %H:%M}"
        )
    final = datetime.fromtimestamp(end.timestamp() - 1, UTC).astimezone(zone)
    if first.date() == final.date():
        return f"{final.day} {final:%b %Y}"
    return f"{first.day} {first:%b}{'' if first.year == final.year else f' {first.year}'} to {final.day} {final:%b %Y}"


def length(seconds: float) -> str:
    """45 s, 12 min, 3.5 h, 2 days."""
    for size, unit in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size or (unit != "days" and seconds >= size):
            return f"{seconds / size:.3g}{THIN}{unit}"
    return f"{seconds:.0f}{THIN}s"


def name(text: str, absent: str = "(none)") -> str:
    """A name for people: never empty, and without characters that turn or hide text."""
    shown = "".join(character if character.isprintable() else " " for character in text).strip()
    return shown or absent


def short(text: str, limit: int = 60) -> str:
    """A name cut in its middle: its end tells versions apart."""
    shown = name(text)
    if len(shown) <= limit:
        return shown
    tail = limit // 3
    return f"{shown[: limit - tail - 1]}…{shown[-tail:]}"


def _effect(change: Change, size: float) -> tuple[str, str]:
    """A size with two digits, and its unit."""
    if change.kind == "relative" and size >= 2:
        return f"×{_digits(1 + size, 2)}", ""
    points = change.kind == "points"
    # No change is known to a thousandth of a percent, whatever its digits say.
    shown = round(size * 100, 2 if points else 1)
    return f"{_sign(shown)}{_digits(abs(shown), 2)}", "pts" if points else "%"


def _is_midnight(at: datetime) -> bool:
    return (at.hour, at.minute, at.second, at.microsecond) == (0, 0, 0, 0)


def signed_text(value: float, text: str) -> str:
    """With a true minus sign where `value` is negative."""
    return f"{MINUS}{text}" if value < 0 else text


def _sign(value: float) -> str:
    return MINUS if value < 0 else "+" if value > 0 else "±"


def _three(value: float) -> str:
    return _digits(value, 3)


def _digits(value: float, digits: int) -> str:
    """So many digits at least, no exponent, and no zeros that say nothing."""
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
