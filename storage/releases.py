"""Which releases the traffic of a target carries, from the trace store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.clickhouse import ClickHouseStore

# Requests that began before the moment asked for are told apart by their earlier spans, as far back as this.
LONGEST_REQUEST = timedelta(hours=1)

# A span belongs to the target that it names, else to the one that its trace names, and so for its release; each span counts
# once however often it was sent. Requests that were under way already do not count: they may end as they began.
_SQL = """
WITH
    requests AS
    (
        SELECT
            trace_id,
            min(started_at) AS began_at,
            anyIf(release, target = {target:String} AND release != '') AS trace_release
        FROM spans
        WHERE project = {project:String}
            AND time >= {earlier:DateTime64(6, 'UTC')}
            AND trace_id IN
            (
                SELECT trace_id FROM spans
                WHERE project = {project:String} AND target = {target:String} AND time >= {since:DateTime64(6, 'UTC')}
            )
        GROUP BY trace_id
        HAVING began_at >= {since:DateTime64(6, 'UTC')}
    )
SELECT
    if(spans.release != '', spans.release, requests.trace_release) AS carried,
    uniqExact(spans.span_key) AS spans_count
FROM spans
INNER JOIN requests ON spans.trace_id = requests.trace_id
WHERE spans.project = {project:String}
    AND spans.time >= {since:DateTime64(6, 'UTC')}
    AND spans.target IN ({target:String}, '')
GROUP BY carried
"""


@dataclass(frozen=True)
class StoredReleaseShare:
    """The `ReleaseShare` of the rollback controller."""

    store: ClickHouseStore

    async def __call__(self, project: str, target: str, since: datetime) -> dict[str, int]:
        """Spans by release ('' = none named) of the target's requests whose first span started at `since` or later.

        Started means the client's clock: one that runs ahead lets requests of just before count too.

        Raises:
            StoreError: the store could not answer.
        """
        parameters = {"project": project, "target": target, "since": since, "earlier": since - LONGEST_REQUEST}
        rows = await self.store.query(_SQL, parameters)
        return {row["carried"]: row["spans_count"] for row in rows}
