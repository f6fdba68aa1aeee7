"""Whose traces these are: the project comes from the API key, never from the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from schemas.settings import is_loopback
from storage.key_cache import KeyCache
from storage.keys import ANONYMOUS, Principal


class AuthenticationError(Exception):
    """The sender is not known (`status` 401) or may not send traces (403)."""

    def __init__(self, message: str, status: int = 401) -> None:
        super().__init__(message)
        self.status = status


class Authenticator:
    """Finds the principal in the headers of a request (names in lower case) or the metadata of a call."""

    def __init__(self, keys: KeyCache, *, required: Callable[[], bool]) -> None:
        self._keys = keys
        self._required = required

    async def principal(self, headers: Mapping[str, str]) -> Principal:
        """The sender.

        Raises:
            AuthenticationError: no key where one is needed, an unknown or revoked one, or one without the scope `ingest`.
            ControlError: the control database cannot be asked.
        """
        presented = _presented(headers)
        if presented is None:
            return self._anonymous(headers)
        found = await self._keys.principal(presented)
        if found is None:
            raise AuthenticationError("the API key is unknown or revoked: create one with `tracewarden keys create`")
        if found.scopes.isdisjoint({"ingest", "admin"}):
            raise AuthenticationError(
                f"the key {found.name!r} lacks the scope ingest: create one with `tracewarden keys create --scope ingest`", 403
            )
        return found

    def _anonymous(self, headers: Mapping[str, str]) -> Principal:
        if self._required():
            raise AuthenticationError("send an API key as `Authorization: Bearer tw_…` or `x-api-key: tw_…`")
        for name in ("host", "origin"):
            if name in headers and not is_loopback(_host(headers[name])):
                raise AuthenticationError(
                    "without a key only this machine may send: address the server as localhost or 127.0.0.1", 403
                )
        return ANONYMOUS


def _presented(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or headers.get("authorization") or None


def _host(value: str) -> str:
    try:
        return urlsplit(value if "//" in value else f"//{value}").hostname or ""
    except ValueError:
        return ""
