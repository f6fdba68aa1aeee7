"""Which releases the traffic of a target carries, from the trace store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.settings import QuerySettings
from storage.clickhouse import ClickHouseStore
from storage.scope import DEFAULT_BOUNDS, ProjectReader, Range, spans_of

# Requests that began before the moment asked for are told apart by their earlier spans, as far back as this.
LONGEST_REQUEST = timedelta(hours=1)
# A proof never looks at more; it ends the range, which otherwise reaches to whatever has arrived.
LONGEST_PROOF = timedelta(days=1)

# A span belongs to the target that it names, else to the one that its trace names, and so for its release; each span counts
# once however often it was sent. Requests that were under way already do not count: they may end as they began.
_SQL = f"""
WITH
    requests AS
    (
        SELECT trace_id, anyIf(release, target = {{target:String}} AND release != '') AS trace_release
        {spans_of("event", LONGEST_REQUEST)}
        WHERE trace_id IN (SELECT trace_id {spans_of("event")} WHERE target = {{target:String}})
        GROUP BY trace_id
        HAVING min(started_at) >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')
    ),
    carried AS
    (
        SELECT trace_id, span_key, release {spans_of("event")} WHERE target IN ({{target:String}}, '')
    )
SELECT if(release != '', release, trace_release) AS named, uniqExact(span_key) AS spans_count
FROM carried INNER JOIN requests ON carried.trace_id = requests.trace_id
GROUP BY named
"""


@dataclass(frozen=True)
class StoredReleaseShare:
    """The `ReleaseShare` of the rollback controller."""

    store: ClickHouseStore
    bounds: QuerySettings = DEFAULT_BOUNDS

    async def __call__(self, project: str, target: str, since: datetime) -> dict[str, int]:
        """Spans by release ('' = none named) of the target's requests whose first span started at `since` or later.

        Started means the client's clock: one that runs ahead lets requests of just before count too.

        Raises:
            StoreError: the store could not answer.
        """
        reader = ProjectReader(self.store, project, self.bounds)
        rows = await reader.fetch(_SQL, Range(since, since + LONGEST_PROOF), {"target": target})
        return {row["named"]: row["spans_count"] for row in rows}
