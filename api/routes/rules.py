"""Alert rules: read, write, evaluate one now, replay one over the past."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy import Connection

from alerting.backtest import Backtest, backtest
from alerting.engine import interval_of
from alerting.evaluation import Evaluator, is_kept
from alerting.observation import Observation
from alerting.records import Delays, delays_of, state_of, timing_of
from alerting.rulebook import remove, replace
from alerting.states import AlertState, decide, initial
from api.auth import authorise
from api.conditions import caller_of
from api.problem import Problem, invalid_request
from api.services import Services, services
from schemas.api.rules import (
    BacktestAnswer,
    BacktestRequest,
    Finding,
    FiringAnswer,
    RuleAnswer,
    RuleBody,
    RuleChoice,
    RuleList,
    RuleTestAnswer,
    RuleTestRequest,
)
from schemas.complaint import Complaint
from schemas.patterns import RULE_NAME
from schemas.rules import InvalidRuleError, RegressionRule, Rule, dump_rule, parse_rule
from storage.alerts import read_states
from storage.audit import record
from storage.keys import Principal
from storage.rules import StoredRule, find_rule, insert_rule, list_rules
from storage.scope import Range

router = APIRouter(tags=["rules"])

Reader = Annotated[Principal, Depends(authorise("read"))]
Controller = Annotated[Principal, Depends(authorise("control"))]
Parts = Annotated[Services, Depends(services)]
Name = Annotated[str, Path(pattern=RULE_NAME)]


@router.get("/v1/rules")
async def list_all(principal: Reader, parts: Parts) -> RuleList:
    """The rules that hold in the project."""
    found = await parts.control.read(lambda connection: list_rules(connection, principal.project))
    return RuleList(rules=[_shown(stored) for stored in found])


@router.post("/v1/rules", status_code=201)
async def create(body: RuleBody, principal: Controller, parts: Parts, request: Request, response: Response) -> RuleAnswer:
    """Add a rule; it is evaluated from now on."""
    rule = _checked(body, parts)
    now, caller = parts.clock(), caller_of(principal, request)

    def work(connection: Connection) -> StoredRule:
        if find_rule(connection, principal.project, rule.name) is not None:
            detail = f"There is a rule {rule.name!r}: change it with PUT /v1/rules/{rule.name}, or choose another name."
            raise Problem(409, "The name is taken", detail, type="rule-exists")
        stored = insert_rule(connection, principal.project, "api", rule, caller.actor, now)
        _audit(connection, principal, caller.actor, caller.source, "rule.create", None, stored.rule, parts)
        return stored

    stored = await parts.control.write(work)
    response.headers["Location"] = f"/v1/rules/{rule.name}"
    return _shown(stored)


@router.get("/v1/rules/{name}")
async def read(name: Name, principal: Reader, parts: Parts) -> RuleAnswer:
    """One rule."""
    return _shown(await parts.control.read(lambda connection: _require(connection, principal, name)))


@router.put("/v1/rules/{name}")
async def change(name: Name, body: RuleBody, principal: Controller, parts: Parts, request: Request) -> RuleAnswer:
    """Give a rule its next revision; the alerts of the one before are resolved with that reason."""
    rule = _checked(body, parts)
    if rule.name != name:
        raise Problem(422, "Two names", f"The path says {name!r}, the body {rule.name!r}: send one.", type="invalid-request")
    now, caller, delays = parts.clock(), caller_of(principal, request), _delays(parts)

    def work(connection: Connection) -> StoredRule:
        stored = _require_own(connection, principal, name)
        if dump_rule(stored.rule) != dump_rule(rule):
            replace(connection, stored, rule, caller.actor, delays, now)
            _audit(connection, principal, caller.actor, caller.source, "rule.update", stored.rule, rule, parts)
        return _require(connection, principal, name)

    return _shown(await parts.control.write(work))


@router.delete("/v1/rules/{name}", status_code=204)
async def delete(name: Name, principal: Controller, parts: Parts, request: Request) -> None:
    """Delete a rule; its alerts are resolved with that reason and stay in the history."""
    now, caller, delays = parts.clock(), caller_of(principal, request), _delays(parts)

    def work(connection: Connection) -> None:
        stored = _require_own(connection, principal, name)
        remove(connection, stored, delays, now)
        _audit(connection, principal, caller.actor, caller.source, "rule.delete", stored.rule, None, parts)

    await parts.control.write(work)


@router.post("/v1/rules:test")
async def test(body: RuleTestRequest, principal: Reader, parts: Parts) -> RuleTestAnswer:
    """Evaluate a rule now and say what it would do, without doing or storing anything."""
    stored, rule = await _chosen(body, principal, parts)
    at = await parts.watermark()
    if at is None:
        return RuleTestAnswer(at=None, reason="the watermark is not known yet: nothing is evaluated until it is", findings=[])
    states = await _states(stored, principal, parts)
    known = [state["labels"] for state in states.values() if is_kept(rule, state)]
    found = await Evaluator(parts.store, parts.control, parts.analyzed).observe(rule, principal.project, at, known)
    standing = {key: state_of(state) for key, state in states.items()}
    findings = [_finding(rule, observation, standing.get(observation.fingerprint)) for observation in found]
    return RuleTestAnswer(at=at, reason=_conclusion(rule, findings), findings=findings)


@router.post("/v1/rules:backtest")
async def replay(body: BacktestRequest, principal: Reader, parts: Parts) -> BacktestAnswer:
    """Replay a rule over stored history: how often it would have fired."""
    _, rule = await _chosen(body, principal, parts)
    end = body.end or await parts.watermark() or parts.clock()
    Range(body.start, end).check(parts.settings.query)
    every = interval_of(rule, parts.settings)
    found = await backtest(parts.store, parts.control, rule, principal.project, body.start, end, every, parts.analyzed)
    return _replayed(found)


async def _chosen(body: RuleChoice, principal: Principal, parts: Services) -> tuple[StoredRule | None, Rule]:
    if body.rule is not None:
        return None, _checked(body.rule, parts, "rule")
    assert body.name is not None
    name = body.name
    stored = await parts.control.read(lambda connection: _require(connection, principal, name))
    return stored, stored.rule


async def _states(stored: StoredRule | None, principal: Principal, parts: Services) -> dict[str, dict[str, Any]]:
    if stored is None:
        return {}
    rows = await parts.control.read(lambda connection: read_states(connection, principal.project, stored.id))
    return {row["fingerprint"]: row for row in rows}


def _finding(rule: Rule, observation: Observation, standing: AlertState | None) -> Finding:
    decision = decide(timing_of(rule), standing or initial(observation.at), observation.signal, observation.at)
    acts = isinstance(rule, RegressionRule) and rule.action == "rollback"
    return Finding(
        labels={**observation.identity, **(observation.details or {})},
        signal=observation.signal,
        reason=f"{observation.reason}; {decision.reason}",
        value=observation.value,
        state=decision.state.phase,
        would=decision.transitions[-1] if decision.transitions else "nothing",
        rollback=acts and "firing" in decision.transitions,
        evidence=list(observation.evidence),
    )


def _conclusion(rule: Rule, findings: list[Finding]) -> str:
    if not findings and isinstance(rule, RegressionRule):
        return "no target has a promoted release with a baseline to compare it with"
    changes = [finding.would for finding in findings if finding.would != "nothing"]
    return f"{len(findings)} evaluated, {', '.join(changes) or 'nothing would change'}"


def _replayed(found: Backtest) -> BacktestAnswer:
    return BacktestAnswer(
        start=found.start,
        end=found.end,
        step=found.step,
        evaluations=found.evaluations,
        observations=found.observations,
        fired=len(found.firings),
        firings=[FiringAnswer(**vars(firing)) for firing in found.firings],
    )


def _shown(stored: StoredRule) -> RuleAnswer:
    return RuleAnswer(
        id=stored.id,
        origin=stored.origin,
        revision=stored.revision,
        updated_at=stored.updated_at,
        updated_by=stored.updated_by,
        rule=stored.rule,
    )


def _checked(rule: Rule, parts: Services, *member: str) -> Rule:
    """The rule, once its channels are known to exist; `member` is the body's that holds it."""
    try:
        return parse_rule(dump_rule(rule), [channel.name for channel in parts.settings.alerting.channels])
    except InvalidRuleError as error:
        found = [Complaint(("body", *member, *one.path), one.detail) for one in error.complaints]
        raise invalid_request("The rule is not valid", found) from error


def _require(connection: Connection, principal: Principal, name: str) -> StoredRule:
    stored = find_rule(connection, principal.project, name)
    if stored is None:
        raise Problem(404, "No such rule", f"There is no rule {name!r}: GET /v1/rules lists them.", type="unknown-rule")
    return stored


def _require_own(connection: Connection, principal: Principal, name: str) -> StoredRule:
    stored = _require(connection, principal, name)
    if stored.origin == "file":
        detail = f"Rule {name!r} comes from the rules file: change it there and restart, or add one of another name here."
        raise Problem(409, "The rule comes from the file", detail, type="rule-read-only")
    return stored


def _audit(
    connection: Connection,
    principal: Principal,
    actor: str,
    source: str,
    action: str,
    before: Rule | None,
    after: Rule | None,
    parts: Services,
) -> None:
    rule = after or before
    assert rule is not None
    record(
        connection,
        project=principal.project,
        actor=actor,
        action=action,
        subject=f"rule:{rule.name}",
        before=None if before is None else dump_rule(before),
        after=None if after is None else dump_rule(after),
        source=source,
        now=parts.clock(),
    )


def _delays(parts: Services) -> Delays:
    return delays_of(parts.settings.alerting)
