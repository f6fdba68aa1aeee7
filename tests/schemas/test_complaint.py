"""Errors in words that say what to do, wherever a value comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.complaint import Complaint, InvalidValueError, complaints_of, refuse_unknown
from schemas.patterns import MEANINGS, NAME

OPENAPI = Path(__file__).parents[2] / "docs" / "openapi.json"


class Sample(BaseModel):
    """One member for each way to be wrong."""

    model_config = ConfigDict(extra="forbid")

    needed: int
    name: Annotated[str, Field(pattern=NAME)] = "a"
    text: Annotated[str, Field(min_length=1, max_length=3)] = "a"
    mode: Literal["auto", "approve"] = "auto"
    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.5
    count: Annotated[int, Field(ge=2, lt=9)] = 2
    on: bool = True
    many: Annotated[list[int], Field(min_length=1, max_length=2)] = [1]
    inner: dict[str, int] = {}

    @model_validator(mode="after")
    def _refuses_thirteen(self) -> Sample:
        if self.needed == 13:
            raise InvalidValueError([Complaint(("needed",), "choose another number"), Complaint(("on",), "turn it off")])
        if self.needed == 14:
            raise ValueError("not fourteen either")
        return self


WRONG: list[tuple[dict[str, Any], tuple[str | int, ...], str]] = [
    ({"needed": None}, ("needed",), "must be a whole number"),
    ({"needed": 1.5}, ("needed",), "must be a whole number"),
    ({"needed": "many"}, ("needed",), "must be a whole number"),
    ({"nedded": 1}, ("nedded",), "is not known here: remove it"),
    ({"name": "a b"}, ("name",), f"must be 1 to 128 letters, digits, '.', '_' and '-' (pattern {NAME})"),
    ({"name": 7}, ("name",), "must be text"),
    ({"text": ""}, ("text",), "must have at least 1 character"),
    ({"text": "abcd"}, ("text",), "must have at most 3 characters"),
    ({"mode": "aotu"}, ("mode",), "must be 'auto' or 'approve', not 'aotu'"),
    ({"share": 0}, ("share",), "must be greater than 0"),
    ({"share": 2}, ("share",), "must be at most 1"),
    ({"share": "half"}, ("share",), "must be a number"),
    ({"share": float("nan")}, ("share",), "must be a finite number"),
    ({"count": 1}, ("count",), "must be at least 2"),
    ({"count": 9}, ("count",), "must be less than 9"),
    ({"on": "perhaps"}, ("on",), "must be true or false"),
    ({"many": 3}, ("many",), "must be a list"),
    ({"many": []}, ("many",), "must have at least 1 entry"),
    ({"many": [1, 2, 3]}, ("many",), "must have at most 2 entries"),
    ({"many": ["x"]}, ("many", 0), "must be a whole number"),
    ({"inner": []}, ("inner",), "must be an object with members"),
    ({"needed": 14}, (), "not fourteen either"),
]


def complaints(data: object) -> tuple[Complaint, ...]:
    with pytest.raises(ValidationError) as caught:
        Sample.model_validate(data)
    return complaints_of(caught.value.errors())


@pytest.mark.parametrize(("data", "path", "detail"), WRONG, ids=[detail for _, _, detail in WRONG])
def test_each_error_says_what_to_do(data: dict[str, Any], path: tuple[str | int, ...], detail: str) -> None:
    assert complaints({"needed": 1, **data}) == (Complaint(path, detail),)


def test_a_validator_may_complain_of_several_members() -> None:
    assert complaints({"needed": 13}) == (
        Complaint(("needed",), "choose another number"),
        Complaint(("on",), "turn it off"),
    )
    assert complaints({}) == (Complaint(("needed",), "is required"),)
    assert complaints([]) == (Complaint((), "must be an object with members"),)


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(InvalidValueError) as caught:
        refuse_unknown({"relase": 1, "zzz": 2, "weight": 3}, ("release", "weight"), "member")
    assert [str(one) for one in caught.value.complaints] == [
        "relase: there is no member 'relase': did you mean release?",
        "zzz: there is no member 'zzz': use release, weight",
    ]
    refuse_unknown({"release": 1}, ("release", "weight"), "member")
    refuse_unknown([1], (), "member")  # no mapping: another check's business


def test_every_pattern_of_the_api_is_told_in_words() -> None:
    used = set(patterns(json.loads(OPENAPI.read_text())))
    assert len(used) > 10
    assert used - MEANINGS.keys() == set()


def patterns(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        for value in node.values():
            yield from patterns(value)
    elif isinstance(node, list):
        for value in node:
            yield from patterns(value)
