"""Generations as ETags, who is asking as the audit log names them, and refusals as problems."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request

from alerting.refusals import RefusedError
from alerting.targets import Caller
from api.problem import Problem
from storage.keys import Principal

_ETAG = re.compile(r'(?:W/)?"(\d{1,9})"')

STATUS_BY_CODE = {
    "unknown_target": 404,
    "unknown_rollback": 404,
    "unknown_release": 422,
    "unknown_evidence": 422,
    "invalid_name": 422,
    "invalid_weight": 422,
    "invalid_content": 422,
    "invalid_executor": 422,
    "idempotency_conflict": 422,
    "generation_changed": 412,
}


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the rules forbid into problems; codes not listed above are conflicts (409)."""
    try:
        yield
    except RefusedError as error:
        status = STATUS_BY_CODE.get(error.code, 409)
        title = error.code.replace("_", " ").capitalize()
        raise Problem(status, title, error.detail, type=error.code.replace("_", "-")) from error


def etag(generation: int) -> str:
    """The ETag of a generation."""
    return f'"{generation}"'


def generations_of(header: str | None) -> frozenset[int]:
    """The generations that an If-Match or If-None-Match header names."""
    return frozenset(int(number) for number in _ETAG.findall(header or ""))


def expected_generation(if_match: str | None, in_body: int | None) -> int | None:
    """The generation to compare with: of the If-Match header or the body.

    Raises:
        Problem: 400 for a header that is no ETag of ours, 422 where the two differ.
    """
    if if_match is None or if_match.strip() == "*":
        return in_body
    named = generations_of(if_match)
    if len(named) != 1:
        raise Problem(
            400, "If-Match is not an ETag", 'Send the ETag of the target as it came, such as "3".', type="bad-if-match"
        )
    (generation,) = named
    if in_body not in (None, generation):
        detail = f"If-Match says {generation}, expected_generation {in_body}: send one of them."
        raise Problem(422, "Two different generations are expected", detail, type="invalid-request")
    return generation


def caller_of(principal: Principal, request: Request) -> Caller:
    """Who asks, by key, and from which address."""
    name = f"{principal.name} ({principal.key_id})" if principal.key_id else principal.name
    return Caller(name, address_of(request))


def address_of(request: Request) -> str:
    """The peer's address."""
    return request.client.host if request.client else "unknown"
