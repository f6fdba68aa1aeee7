"""What is wrong with a value, in words that say what to do about it. Pydantic's own are for programmers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic_core import ErrorDetails

from schemas.patterns import MEANINGS

_SHOWN = 100


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong: `path` leads to it (`filters`, `region`), `detail` names the fix."""

    path: tuple[str | int, ...]
    detail: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}: {self.detail}" if self.path else self.detail


class InvalidValueError(ValueError):
    """A value cannot be used; `complaints` holds everything that is wrong with it. Validators may raise it."""

    def __init__(self, complaints: Iterable[Complaint]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("; ".join(map(str, self.complaints)))


def complaints_of(errors: Iterable[ErrorDetails]) -> tuple[Complaint, ...]:
    """The errors of a failed validation retold; what a validator raised as an `InvalidValueError` is told in full."""
    return tuple(complaint for error in errors for complaint in _complaints(error))


def refuse_unknown(given: Any, known: Collection[str], what: str) -> None:
    """Refuse names that nothing reads: a typing error there would otherwise go unseen. `what` is what a name stands for.

    Raises:
        InvalidValueError: with the nearest known name for each.
    """
    unknown = [name for name in given if name not in known] if isinstance(given, Mapping) else []
    if unknown:
        raise InvalidValueError(Complaint((name[:_SHOWN],), _unknown(str(name), known, what)) for name in unknown)


def near(name: str, known: Collection[str]) -> str:
    """Which name was meant: the nearest one, else all."""
    found = get_close_matches(name[:_SHOWN], known, n=1, cutoff=0.6)
    return f"did you mean {found[0]}?" if found else f"use {', '.join(known)}"


def _unknown(name: str, known: Collection[str], what: str) -> str:
    return f"there is no {what} {name[:_SHOWN]!r}: {near(name, known)}"


def _complaints(error: ErrorDetails) -> tuple[Complaint, ...]:
    raised = error.get("ctx", {}).get("error")
    if isinstance(raised, InvalidValueError):
        return tuple(Complaint((*error["loc"], *one.path), one.detail) for one in raised.complaints)
    return (Complaint(error["loc"], _detail(error)),)


def _detail(error: ErrorDetails) -> str:
    words = _WORDS.get(error["type"])
    return error["msg"] if words is None else words({**error.get("ctx", {}), "input": error["input"]})


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _number(bound: object) -> str:
    return f"{bound:g}" if isinstance(bound, float) else str(bound)


def _pattern(context: Mapping[str, Any]) -> str:
    pattern = context["pattern"]
    return f"must be {MEANINGS.get(pattern, 'another text')} (pattern {pattern})"


def _literal(context: Mapping[str, Any]) -> str:
    given = context["input"]
    return f"must be {context['expected']}" + (f", not {given[:_SHOWN]!r}" if isinstance(given, str) else "")


def _always(words: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda _: words


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": _always("is required"),
    "extra_forbidden": _always("is not known here: remove it"),
    "value_error": lambda context: str(context["error"]),
    "literal_error": _literal,
    "string_pattern_mismatch": _pattern,
    "string_too_short": lambda context: f"must have at least {_counted(context['min_length'], 'character', 'characters')}",
    "string_too_long": lambda context: f"must have at most {_counted(context['max_length'], 'character', 'characters')}",
    "too_short": lambda context: f"must have at least {_counted(context['min_length'], 'entry', 'entries')}",
    "too_long": lambda context: f"must have at most {_counted(context['max_length'], 'entry', 'entries')}",
    "greater_than": lambda context: f"must be greater than {_number(context['gt'])}",
    "greater_than_equal": lambda context: f"must be at least {_number(context['ge'])}",
    "less_than": lambda context: f"must be less than {_number(context['lt'])}",
    "less_than_equal": lambda context: f"must be at most {_number(context['le'])}",
    "finite_number": _always("must be a finite number"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), _always("must be a whole number")),
    **dict.fromkeys(("float_type", "float_parsing", "decimal_type", "decimal_parsing"), _always("must be a number")),
    **dict.fromkeys(("bool_type", "bool_parsing"), _always("must be true or false")),
    "string_type": _always("must be text"),
    **dict.fromkeys(("list_type", "tuple_type"), _always("must be a list")),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), _always("must be an object with members")),
}
