"""Who asks, and what they may do. The project comes from the key alone, never from the request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.problem import Problem
from api.services import Services, services
from schemas.settings import is_loopback
from storage.key_cache import KeyCache
from storage.keys import ANONYMOUS, Principal

Scope = Literal["ingest", "feedback", "read", "control", "admin"]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_bearer = HTTPBearer(auto_error=False, description="An API key: tw_…")
_header = APIKeyHeader(
    name="x-api-key", auto_error=False, description="The same key, for clients that cannot send Authorization."
)


def authorise(scope: Scope) -> Callable[..., Awaitable[Principal]]:
    """A dependency that yields the caller, once they are known and hold `scope` (`admin` holds every scope)."""

    async def check(
        request: Request,
        parts: Annotated[Services, Depends(services)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        header: Annotated[str | None, Depends(_header)],
    ) -> Principal:
        presented = bearer.credentials if bearer is not None else header
        if presented is None and not parts.settings.keys_required and "authorization" not in request.headers:
            refuse_foreign(request)
            return ANONYMOUS
        principal = await _known(request, presented)
        if principal.scopes.isdisjoint({scope, "admin"}):
            raise _missing(scope, principal)
        return principal

    return check


def _missing(scope: Scope, principal: Principal) -> Problem:
    detail = f"The key {principal.name!r} lacks the scope {scope}: create one with `tracewarden keys create --scope {scope}`."
    return Problem(403, "The key may not do this", detail, type="missing-scope")


async def _known(request: Request, presented: str | None) -> Principal:
    if not presented:
        raise _unauthenticated("Send `Authorization: Bearer tw_…` or `x-api-key: tw_…`.")
    keys: KeyCache = request.app.state.keys
    principal = await keys.principal(presented)
    if principal is None:
        raise _unauthenticated(
            "The key is unknown or revoked: create another with `tracewarden keys create`.", ' error="invalid_token"'
        )
    return principal


def _unauthenticated(detail: str, challenge: str = "") -> Problem:
    headers = {"WWW-Authenticate": 'Bearer realm="tracewarden"' + ("," + challenge if challenge else "")}
    return Problem(401, "An API key is needed", detail, type="unauthenticated", headers=headers)


def refuse_foreign(request: Request) -> None:
    """Without keys, refuse what a web page of another site could send (DNS rebinding, cross-site forms).

    Raises:
        Problem: 403 for a Host or Origin that is not this machine, 415 for a write that is not application/json.
    """
    host = host_name("//" + request.headers.get("host", ""))
    origin = request.headers.get("origin")
    if not is_loopback(host) or (origin is not None and not is_loopback(host_name(origin))):
        raise Problem(
            403,
            "Only this machine may ask without a key",
            "Address the API as localhost or 127.0.0.1, or set auth.required and send an API key.",
            type="foreign-host",
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method not in SAFE_METHODS and kind != "application/json":
        raise Problem(
            415, "Writes are JSON only", "Send `Content-Type: application/json`, also with an empty body.", type="not-json"
        )


def host_name(url: str) -> str:
    """The lower-case host of a URL without port and brackets; empty when it has none or cannot be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
