"""Principals by presented key, remembered for a moment so that not every request asks the control database."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

from pydantic import SecretStr

from storage.control import ControlDatabase
from storage.keys import Principal, find_key

CACHE_FOR = timedelta(seconds=5)
CACHED_KEYS = 4096


class KeyCache:
    """Finds whose key was presented; a revoked key works no longer than `CACHE_FOR`."""

    def __init__(self, control: ControlDatabase, pepper: SecretStr, clock: Callable[[], datetime]) -> None:
        self._control = control
        self._pepper = pepper
        self._clock = clock
        self._known: dict[bytes, tuple[datetime, Principal | None]] = {}

    async def principal(self, presented: str) -> Principal | None:
        """The principal of a key; None when the key is unknown or revoked.

        Raises:
            ControlError: the control database cannot be asked.
        """
        now = self._clock()
        digest = hashlib.sha256(presented.encode()).digest()
        known = self._known.get(digest)
        if known is not None and timedelta(0) <= now - known[0] < CACHE_FOR:
            return known[1]
        found = await self._control.read(lambda connection: find_key(connection, presented, self._pepper, now))
        if len(self._known) >= CACHED_KEYS:
            self._known.clear()
        self._known[digest] = (now, found)
        return found
