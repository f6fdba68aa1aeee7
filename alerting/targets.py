"""Registering targets and releases, promoting, and what gateways report."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from alerting.desired import DesiredFeed
from alerting.desired_state import promote
from alerting.refusals import TargetRefusedError
from storage.audit import record
from storage.control import ControlDatabase
from storage.targets import (
    Change,
    Mode,
    Poller,
    Release,
    Target,
    insert_release,
    insert_target,
    list_releases,
    list_targets,
    move_target,
    read_release,
    read_target,
    record_poller,
    update_options,
)

Clock = Callable[[], datetime]

NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
# A gateway that asks again and again for the same generation is written down this often.
POLL_NOTED_EVERY = timedelta(seconds=15)
POLLERS_REMEMBERED = 10_000


@dataclass(frozen=True)
class Caller:
    """Who asks, and from where, for the audit log."""

    actor: str
    source: str


@dataclass(frozen=True)
class Options:
    """How a target is rolled back."""

    executor: str = "desired"
    webhook: str | None = None
    mode: Mode | None = None


class TargetRegistry:
    """Targets of every project. Each change is one transaction with its line in the audit log."""

    def __init__(self, control: ControlDatabase, clock: Clock, feed: DesiredFeed, webhooks: frozenset[str]) -> None:
        self._control = control
        self._clock = clock
        self._webhooks = webhooks
        self._noted: dict[tuple[str, str, str], tuple[int, datetime]] = {}
        self.feed = feed

    async def get(self, project: str, name: str) -> Target:
        """The target.

        Raises:
            TargetRefusedError: unknown_target.
        """
        return await self._control.read(lambda connection: require_target(connection, project, name))

    async def all(self, project: str) -> list[Target]:
        """All targets of a project by name."""
        return await self._control.read(lambda connection: list_targets(connection, project))

    async def releases(self, project: str, name: str) -> list[Release]:
        """The latest releases of a target, newest first.

        Raises:
            TargetRefusedError: unknown_target.
        """

        def read(connection: Connection) -> list[Release]:
            require_target(connection, project, name)
            return list_releases(connection, project, name)

        return await self._control.read(read)

    async def put(self, project: str, name: str, options: Options, caller: Caller) -> tuple[Target, bool]:
        """Create the target, or change how it is rolled back; whether it is new.

        Raises:
            TargetRefusedError: invalid_name, invalid_executor.
        """
        self._check_options(options)
        now = self._clock()

        def work(connection: Connection) -> tuple[Target, bool]:
            found = read_target(connection, project, name)
            if found is None:
                return _create(connection, project, name, options, caller, now), True
            target = replace(found, **vars(options))
            if target != found:
                update_options(connection, target)
                _audit(connection, target, "target.update", caller, now, before=vars(_options(found)), after=vars(options))
            return target, False

        return await self._control.write(work)

    async def register(self, project: str, target: str, release: str, content: Any, caller: Caller) -> tuple[Release, bool]:
        """Add a release, and the target with it when it is new; the same content again changes nothing. Whether it is new.

        Raises:
            TargetRefusedError: invalid_name, or release_differs: this release exists with other content.
        """
        _check_name("release", release)
        now = self._clock()
        wanted = Release(project, target, release, content, content_hash(content), now, caller.actor, None)

        def work(connection: Connection) -> tuple[Release, bool]:
            place = read_target(connection, project, target) or _create(connection, project, target, Options(), caller, now)
            found = read_release(connection, project, target, release)
            if found is not None:
                return _same(found, wanted), False
            insert_release(connection, wanted)
            after = {"release": release, "content_hash": wanted.content_hash}
            _audit(connection, place, "release.register", caller, now, before=None, after=after)
            return wanted, True

        return await self._control.write(work)

    async def promote(
        self,
        project: str,
        target: str,
        release: str,
        weight: float,
        *,
        reason: str,
        caller: Caller,
        expected_generation: int | None = None,
    ) -> Target:
        """Give a release its weight; a state that is already so stays at its generation.

        Raises:
            TargetRefusedError: unknown_target, unknown_release, invalid_weight, generation_changed.
        """
        now = self._clock()

        def work(connection: Connection) -> Target:
            before = require_target(connection, project, target)
            check_generation(before, expected_generation)
            require_release(connection, before, release)
            after = promote(before, release, weight, rolled_back=_was_rolled_back(connection, before), now=now)
            if (after.weights, after.current) == (before.weights, before.current) and before.kind != "created":
                return before
            return _move(connection, before, after, Change(caller.actor, reason, now), caller)

        result = await self._control.write(work)
        self.feed.notify()
        return result

    async def note_poll(self, target: Target, gateway: str, generation: int) -> None:
        """Remember which generation a gateway said it has; written at most every 15 s while it stays the same."""
        key = (target.project, target.name, gateway)
        now = self._clock()
        noted = self._noted.get(key)
        if noted is not None and noted[0] == generation and now - noted[1] < POLL_NOTED_EVERY:
            return
        poller = Poller(gateway, generation, now)
        await self._control.write(lambda connection: record_poller(connection, target, poller))
        if len(self._noted) >= POLLERS_REMEMBERED:
            self._noted.clear()
        self._noted[key] = (generation, now)

    def _check_options(self, options: Options) -> None:
        if options.executor == "webhook" and options.webhook not in self._webhooks:
            known = ", ".join(sorted(self._webhooks)) or "none is configured"
            given = f"webhook {options.webhook!r} is not" if options.webhook else "the executor webhook needs `webhook`,"
            raise TargetRefusedError(
                "invalid_executor", f"{given} one of the settings' rollback.webhooks ({known}): name one, or add it there"
            )
        if options.executor != "webhook" and options.webhook is not None:
            raise TargetRefusedError("invalid_executor", "webhook is given, so executor must be webhook")


def require_target(connection: Connection, project: str, name: str) -> Target:
    """The target.

    Raises:
        TargetRefusedError: unknown_target.
    """
    found = read_target(connection, project, name)
    if found is None:
        raise TargetRefusedError(
            "unknown_target", f"there is no target {name!r}: create it with PUT /v1/targets/{{target}} or list /v1/targets"
        )
    return found


def require_release(connection: Connection, target: Target, release: str) -> Release:
    """The release.

    Raises:
        TargetRefusedError: unknown_release.
    """
    found = read_release(connection, target.project, target.name, release)
    if found is None:
        raise TargetRefusedError(
            "unknown_release",
            f"target {target.name} has no release {release!r}: register it with POST /v1/targets/{target.name}/releases",
        )
    return found


def check_generation(target: Target, expected: int | None) -> None:
    """Compare-and-set.

    Raises:
        TargetRefusedError: generation_changed.
    """
    if expected is not None and expected != target.generation:
        raise TargetRefusedError(
            "generation_changed",
            f"target {target.name} is at generation {target.generation}, not {expected}: read it again and decide anew",
        )


def content_hash(content: Any) -> str:
    """SHA-256 of canonical JSON: sorted keys, no spaces.

    Raises:
        TargetRefusedError: invalid_content.
    """
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
    except ValueError as error:
        raise TargetRefusedError("invalid_content", f"the content is not plain JSON ({error})") from error


def state_of(target: Target) -> dict[str, Any]:
    """The desired state as it is shown and audited."""
    return {
        "generation": target.generation,
        "weights": dict(target.weights),
        "current": target.current,
        "previous": target.previous,
        "last_known_good": target.last_known_good,
    }


def _check_name(what: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise TargetRefusedError(
            "invalid_name", f"{name!r} is no name of a {what}: use 1 to 128 letters, digits, '.', '_' and '-'"
        )


def _create(connection: Connection, project: str, name: str, options: Options, caller: Caller, now: datetime) -> Target:
    _check_name("target", name)
    target = Target(
        project=project,
        name=name,
        generation=1,
        weights={},
        current=None,
        previous=None,
        last_known_good=None,
        kind="created",
        changed_at=now,
        created_at=now,
        **vars(options),
    )
    insert_target(connection, target, Change(caller.actor, "created", now))
    _audit(connection, target, "target.create", caller, now, before=None, after=state_of(target) | vars(options))
    return target


def _same(found: Release, wanted: Release) -> Release:
    if found.content_hash != wanted.content_hash:
        raise TargetRefusedError(
            "release_differs",
            f"release {found.name} of {found.target} exists with other content (sha256 {found.content_hash[:12]}…, yours is "
            f"{wanted.content_hash[:12]}…): a release never changes, register the new content under a new name",
        )
    return found


def _move(connection: Connection, before: Target, after: Target, change: Change, caller: Caller) -> Target:
    moved = move_target(connection, before, after, change)
    if moved is None:
        raise TargetRefusedError("generation_changed", f"target {before.name} was changed by someone else: read it again")
    _audit(connection, moved, "target.promote", caller, change.at, before=state_of(before), after=state_of(moved))
    return moved


def _was_rolled_back(connection: Connection, target: Target) -> bool:
    if target.current is None:
        return False
    current = read_release(connection, target.project, target.name, target.current)
    return current is not None and current.rolled_back_at is not None


def _options(target: Target) -> Options:
    return Options(target.executor, target.webhook, target.mode)


def _audit(
    connection: Connection,
    target: Target,
    action: str,
    caller: Caller,
    now: datetime,
    *,
    before: dict[str, Any] | None,
    after: dict[str, Any],
) -> None:
    record(
        connection,
        project=target.project,
        actor=caller.actor,
        action=action,
        subject=f"target:{target.name}",
        before=before,
        after=after,
        source=caller.source,
        now=now,
    )
