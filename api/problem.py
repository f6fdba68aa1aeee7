"""Every error of the API as problem+json (RFC 9457): what happened, and in `detail` what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from schemas.complaint import Complaint, complaints_of
from schemas.metrics import UnknownMetricError
from storage.clickhouse import StoreBusyError, StoreError
from storage.control import ControlError
from storage.scope import QueryError

MEDIA_TYPE = "application/problem+json"

_log = structlog.get_logger("api")


class Problem(HTTPException):
    """An error with its fix. `type` is a short name, sent as `urn:tracewarden:<type>`; `members` are added to the body."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        type: str = "about:blank",  # noqa: A002 - the member's name in RFC 9457
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.title = title
        self.type = type if ":" in type else f"urn:tracewarden:{type}"
        self.members = members

    def response(self, instance: str) -> JSONResponse:
        """The body for a request to the path `instance`."""
        body = {"type": self.type, "title": self.title, "status": self.status_code, "detail": self.detail, "instance": instance}
        return JSONResponse({**body, **self.members}, self.status_code, self.headers, MEDIA_TYPE)


def store_problem(error: StoreError) -> Problem:
    """What a failed query of the store means to its caller; the store's own words go to the log only."""
    if isinstance(error, StoreBusyError):
        return Problem(503, "The trace store is in use", str(error), type="store-busy", headers={"Retry-After": "5"})
    return _BY_CODE.get(error.code or 0, _unreachable)()


def install_problems(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(QueryError, _on_query)
    app.add_exception_handler(UnknownMetricError, _on_unknown_metric)
    app.add_exception_handler(StoreError, _on_store)
    app.add_exception_handler(ControlError, _on_control)
    app.add_exception_handler(Exception, _on_unexpected)


def _too_slow() -> Problem:
    return Problem(
        504,
        "The query took too long",
        "Ask for a shorter time range, a longer step or fewer groups, or raise query.timeout_s.",
        type="query-timeout",
    )


def _too_large() -> Problem:
    return Problem(
        503,
        "The query needs too much memory or reads too much",
        "Ask for a shorter time range, fewer groups or a filter, or raise query.max_memory_bytes.",
        type="query-too-large",
    )


def _unreachable() -> Problem:
    return Problem(
        503,
        "The trace store did not answer",
        "Try again; if it lasts, `tracewarden doctor` says which part is down. The cause is in the log.",
        type="store-unavailable",
        headers={"Retry-After": "5"},
    )


# ClickHouse: TIMEOUT_EXCEEDED, TOO_SLOW, SOCKET_TIMEOUT; then MEMORY_LIMIT_EXCEEDED, TOO_MANY_ROWS, TOO_MANY_BYTES,
# TOO_MANY_ROWS_OR_BYTES.
_BY_CODE = {159: _too_slow, 160: _too_slow, 209: _too_slow, 241: _too_large, 158: _too_large, 307: _too_large, 396: _too_large}


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, Problem):
        return error.response(request.url.path)
    if error.status_code == 405:
        return _other_method(request)
    if error.status_code == 404:
        return _nothing_there(request)
    return Problem(error.status_code, _phrase(error.status_code), error.detail, headers=error.headers).response(
        request.url.path
    )


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase


def _nothing_there(request: Request) -> Response:
    listed = f": the routes are listed in {request.app.openapi_url}" if request.app.openapi_url else ""
    detail = f"There is nothing at {request.url.path}{listed}."
    return Problem(404, _phrase(404), detail).response(request.url.path)


def _other_method(request: Request) -> Response:
    """What the path takes: as the answer to OPTIONS, and with the refusal of any other method."""
    methods = _allowed(request)
    if not methods:
        return _nothing_there(request)
    headers = {"Allow": ", ".join(methods)}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=headers)
    detail = f"{request.method} is not possible here: use {' or '.join(methods)}."
    return Problem(405, _phrase(405), detail, headers=headers).response(request.url.path)


def _allowed(request: Request) -> list[str]:
    """The methods of a path. What follows a colon is an action, and those are POST: `a:frob` is not the name of a target."""
    an_action = ":" in request.url.path.rpartition("/")[2]
    found = []
    for method in ("POST",) if an_action else ("GET", "POST", "PUT", "PATCH", "DELETE"):
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes):
            found += ["GET", "HEAD"] if method == "GET" else [method]
    return found


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    if any(entry["type"] == "json_invalid" for entry in error.errors()):
        problem = Problem(400, "The body is not JSON", "Send one JSON document as application/json.", type="malformed-json")
    else:
        complaints = [_as_sent(complaint, error.body) for complaint in complaints_of(error.errors())]
        problem = invalid_request("The request is not valid", complaints)
    return problem.response(request.url.path)


def _as_sent(complaint: Complaint, body: Any) -> Complaint:
    """The complaint of the body as it came: none at all, or one thing where a list is taken as well."""
    where, *path = complaint.path
    if where == "body" and not path and body is None:
        return Complaint(("body",), "is required: send a JSON object")
    if where == "body" and path[:1] == [0] and isinstance(body, dict):
        return Complaint(("body", *path[1:]), complaint.detail)
    return complaint


def invalid_request(title: str, complaints: Sequence[Complaint]) -> Problem:
    """What is wrong with a request; paths begin with where it is: body, query, path, header."""
    detail = "; ".join(f"{'.'.join(map(str, one.path[1:])) or one.path[0]}: {one.detail}" for one in complaints)
    errors = [{**_place(one.path), "detail": one.detail} for one in complaints]
    return Problem(422, title, detail, type="invalid-request", errors=errors)


def _place(location: tuple[str | int, ...]) -> dict[str, str]:
    """Where it is: a JSON pointer into the body, else the parameter's name and kind."""
    where, *path = location
    if where == "body":
        return {"pointer": "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)}
    return {"parameter": ".".join(map(str, path)), "in": str(where)}


async def _on_query(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QueryError)
    return Problem(400, "The query cannot be answered", str(error), type=error.code).response(request.url.path)


async def _on_unknown_metric(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, UnknownMetricError)
    problem = Problem(404, error.title, str(error), type="unknown-metric", near=list(error.near))
    return problem.response(request.url.path)


async def _on_store(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StoreError)
    problem = store_problem(error)
    _log.warning("query_failed", path=request.url.path, status=problem.status_code, error=str(error))
    return problem.response(request.url.path)


async def _on_control(request: Request, error: Exception) -> JSONResponse:
    _log.warning("control_failed", path=request.url.path, error=str(error))
    detail = "Try again; if it lasts, `tracewarden doctor` says what is wrong. The cause is in the log."
    problem = Problem(
        503, "The control database did not answer", detail, type="control-unavailable", headers={"Retry-After": "5"}
    )
    return problem.response(request.url.path)


async def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("request_failed", path=request.url.path, exc_info=error)
    detail = "This is a fault of Tracewarden; the cause is in its log."
    return Problem(500, "Internal error", detail, type="internal-error").response(request.url.path)
