"""Calibration of a service from what people said about its answers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection

from analyzers.grounding.calibration import Labelled, NotEnough, fit
from analyzers.grounding.features import SIGNALS
from analyzers.grounding.support import FEATURES_VERSION, Weights
from schemas.settings import QuerySettings
from storage.audit import record
from storage.calibrations import Calibration, insert_calibration, new_id, read_labelled, withdraw_calibration
from storage.clickhouse import ClickHouseStore
from storage.control import ControlDatabase
from storage.scope import DEFAULT_BOUNDS, ProjectReader

NAME = "grounding"
CALIBRATED = "+cal_"
"""What separates a scorer's name from the calibration that it used."""


async def calibrate(
    store: ClickHouseStore,
    control: ControlDatabase,
    project: str,
    service: str,
    now: datetime,
    by: str,
    *,
    source: str = "",
    bounds: QuerySettings = DEFAULT_BOUNDS,
) -> Calibration | NotEnough:
    """Fit weights from people's verdicts (scores of source human, name grounding, flagged 1: unsupported) and store them.

    The signals come from the rows that the analyzer stored, so no text is read again and no model is needed. Only rows of
    one scorer are used, the one that scored last. `source` is where the request came from, for the audit log.
    """
    rows = await read_labelled(ProjectReader(store, project, bounds), service, NAME, now)
    base = base_of(rows[0]["scorer"]) if rows else ""
    labelled = labelled_rows(rows, base)
    found = fit(labelled)
    if isinstance(found, NotEnough):
        return found
    parameters = _parameters(base, found.weights, found.threshold)
    made = Calibration(new_id(), project, NAME, service, parameters, len(labelled), asdict(found.quality), by, now)

    def store_it(connection: Connection) -> None:
        insert_calibration(connection, made)
        _audit(connection, "create", made, by, source, now)

    await control.write(store_it)
    return made


async def withdraw(
    control: ControlDatabase, project: str, calibration_id: str, now: datetime, by: str, *, source: str = ""
) -> Calibration | None:
    """Let a calibration hold no more; None where there is none to withdraw."""

    def withdraw_it(connection: Connection) -> Calibration | None:
        found = withdraw_calibration(connection, project, calibration_id, now)
        if found is not None:
            _audit(connection, "withdraw", found, by, source, now)
        return found

    return await control.write(withdraw_it)


def base_of(scorer: str) -> str:
    """A scorer without its calibration."""
    return scorer.partition(CALIBRATED)[0]


def labelled_rows(rows: Sequence[Mapping[str, Any]], base: str) -> list[Labelled]:
    """The judged answers that `base` scored, with or without a calibration, each once."""
    found: dict[tuple[str, str], Labelled] = {}
    if not is_current(base):
        return []
    for row in rows:
        key = (row["trace"], row["span"])
        evidence = json.loads(row["evidence"])
        signals = _signals(evidence)
        if base_of(row["scorer"]) == base and key not in found and signals:
            sentences = evidence[0].get("sentences", 0)
            found[key] = Labelled(np.array(signals, dtype=np.float64), not row["bad"], sentences)
    return [found[key] for key in sorted(found)]


def is_current(base: str) -> bool:
    """Whether a scorer measures as this version does."""
    return base.partition("@")[2].partition("+")[0].partition("-")[0] == FEATURES_VERSION


def weights_of(calibration: Calibration, base: str) -> tuple[Weights, float] | None:
    """Weights and threshold of a calibration; None when it was fitted on what another scorer measured."""
    held = calibration.parameters
    if held.get("base") != base:
        return None
    weights = held["weights"]
    return Weights(held["intercept"], tuple(weights[name] for name in SIGNALS), of_answers=True), held["threshold"]


def _parameters(base: str, weights: Weights, threshold: float) -> dict[str, Any]:
    named = dict(zip(SIGNALS, weights.weights, strict=True))
    return {"base": base, "intercept": weights.intercept, "weights": named, "threshold": threshold}


def _signals(evidence: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Signals of the stored sentences; none where a row was written by something else."""
    found = [each.get("features", {}) for each in evidence]
    rows = [[float(features[name]) for name in SIGNALS] for features in found if features.keys() >= set(SIGNALS)]
    return [row for row in rows if all(map(math.isfinite, row))]


def _audit(connection: Connection, done: str, calibration: Calibration, by: str, source: str, now: datetime) -> None:
    held = {
        "analyzer": calibration.analyzer,
        "service": calibration.service,
        "n": calibration.n,
        "threshold": calibration.parameters["threshold"],
    }
    record(
        connection,
        project=calibration.project,
        actor=by,
        action=f"calibration.{done}",
        subject=f"calibration:{calibration.id}",
        before=held if done == "withdraw" else None,
        after=None if done == "withdraw" else held,
        source=source,
        now=now,
    )
