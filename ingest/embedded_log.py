"""The trace log inside one process: group commit into the store."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from ingest.envelope import Envelope, LogRecord
from ingest.trace_log import RefusedRecordError, TraceLogError
from ingest.writer import insert_records
from schemas.instruments import Instruments
from schemas.sections import IngestSettings
from storage.clickhouse import ClickHouseStore, StoreError
from storage.migrations import check_store

PARTITION = 0
RETRY_WINDOW = timedelta(hours=1)
REMEMBERED = 200_000
BACKLOG_SPANS = 1_000

_log = structlog.get_logger("ingest.log")


async def _nowhere() -> int:
    return 0


@dataclass(frozen=True)
class _Entry:
    envelope: Envelope
    stored: asyncio.Future[None]


class EmbeddedTraceLog:
    """`append` returns when the batch it went into is on disk; one partition, a monotonic sequence as offset.

    While one insert runs, and for an interval after it began, the next batch gathers: the batches grow with the load, and few
    small parts are left to merge. An identical retry is found by the hash of its body, also after a restart: the hashes of the
    last hour are read back from the store. `read_up_to` says how far readers of the log are: no offset before that is given out
    again, though its record was refused, or was deleted with the last of the store's spans.
    """

    def __init__(
        self,
        store: ClickHouseStore,
        settings: IngestSettings,
        instruments: Instruments,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        read_up_to: Callable[[], Awaitable[int]] = _nowhere,
    ) -> None:
        self._store = store
        self._settings = settings
        self._instruments = instruments
        self._clock = clock
        self._read_up_to = read_up_to
        self._waiting: OrderedDict[bytes, _Entry] = OrderedDict()
        self._inserting: dict[bytes, _Entry] = {}
        self._stored: OrderedDict[bytes, None] = OrderedDict()
        self._next_offset = 0
        self._uncommitted: set[int] = set()
        self._run_id = uuid.uuid4().hex
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read where the log ends and what was stored lately, then begin to commit."""
        await check_store(self._store)
        await self._recover()
        self._task = asyncio.create_task(self._commit_forever(), name="embedded-log")

    async def append(self, envelopes: Sequence[Envelope]) -> None:
        """Store `envelopes`; see TraceLog."""
        if self._task is None or self._stopping:
            raise TraceLogError("the server is shutting down: send again to the next one")
        waits = [wait for wait in (self._submit(envelope) for envelope in envelopes) if wait is not None]
        outcomes = await asyncio.gather(*(asyncio.shield(wait) for wait in waits), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def stop(self) -> None:
        """Commit what waits, then end."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def watermark(self) -> datetime:
        """Everything received before this moment is in the store."""
        return self.oldest_unwritten() or self._clock()

    async def committed(self) -> dict[int, int]:
        """By partition the offset before which every record is in the store, or was refused and never will be."""
        return {PARTITION: min(self._uncommitted, default=self._next_offset)}

    def oldest_unwritten(self) -> datetime | None:
        """When the oldest record that is not in the store was received; None when all are."""
        entries = itertools.chain(self._inserting.values(), self._waiting.values())
        return min((entry.envelope.received_at for entry in entries), default=None)

    def _submit(self, envelope: Envelope) -> asyncio.Future[None] | None:
        key = envelope.body_hash
        if key in self._stored:
            return None
        entry = self._inserting.get(key) or self._waiting.get(key)
        if entry is None:
            entry = self._waiting[key] = _Entry(envelope, asyncio.get_running_loop().create_future())
            self._wake.set()
        return entry.stored

    async def _recover(self) -> None:
        rows = await self._store.query(
            "SELECT max(log_offset) AS last, count() AS n FROM spans WHERE log_partition = {partition:UInt32}",
            {"partition": PARTITION},
        )
        stored = rows[0]["last"] + 1 if rows[0]["n"] else 0
        self._next_offset = max(stored, await self._read_up_to())
        recent = await self._store.query(
            "SELECT record_hash FROM spans WHERE received_at > {since:DateTime64(3, 'UTC')}"
            " GROUP BY record_hash ORDER BY max(received_at) DESC LIMIT {limit:UInt32}",
            {"since": self._clock() - RETRY_WINDOW, "limit": REMEMBERED},
        )
        self._stored.update((row["record_hash"], None) for row in reversed(recent))

    async def _commit_forever(self) -> None:
        loop, interval = asyncio.get_running_loop(), self._settings.embedded_interval_ms / 1000
        began = loop.time() - interval
        running: set[asyncio.Task[None]] = set()
        while running or self._waiting or not self._stopping:
            if not (running or self._waiting or self._stopping):
                await self._wake.wait()
            if not running:
                await asyncio.sleep(began + interval - loop.time())
            self._wake.clear()
            while self._waiting and len(running) < self._inserts_at_once():
                began = loop.time()
                running.add(asyncio.create_task(self._commit(self._take())))
            running = await self._any_change(running)

    def _inserts_at_once(self) -> int:
        """A second insert beside the first only for a backlog: for less, its fixed cost is not worth a core."""
        return 2 if sum(entry.envelope.span_count for entry in self._waiting.values()) >= BACKLOG_SPANS else 1

    async def _any_change(self, running: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        """Wait until an insert ends or something arrives; those still running."""
        if not running:
            return running
        arrival = asyncio.create_task(self._wake.wait())
        ended, _ = await asyncio.wait({arrival, *running}, return_when=asyncio.FIRST_COMPLETED)
        arrival.cancel()
        for task in ended - {arrival}:
            task.result()
        return running - ended

    def _take(self) -> list[_Entry]:
        """The next batch: of one day, because an insert is atomic within one partition of the table."""
        batch: list[_Entry] = []
        spans = size = 0
        day = next(iter(self._waiting.values())).envelope.received_at.date()
        while self._waiting:
            key, entry = next(iter(self._waiting.items()))
            spans, size = spans + entry.envelope.span_count, size + len(entry.envelope.request)
            over = spans > self._settings.batch_spans or size > self._settings.batch_bytes
            if batch and (over or entry.envelope.received_at.date() != day):
                break
            batch.append(entry)
            self._inserting[key] = self._waiting.pop(key)
        return batch

    async def _commit(self, batch: list[_Entry]) -> None:
        first = self._next_offset
        self._next_offset += len(batch)
        self._uncommitted.add(first)
        records = [(PARTITION, first + place, entry.envelope) for place, entry in enumerate(batch)]
        try:
            with self._instruments.insert_seconds.time():
                await insert_records(self._store, records, token=self._token(records))
        except StoreError as error:
            self._instruments.insert_failures.inc()
            await self._divide(batch, error)
        else:
            self._remember(batch)
        finally:
            self._uncommitted.discard(first)
            for entry in batch:
                self._inserting.pop(entry.envelope.body_hash, None)

    def _token(self, records: Sequence[LogRecord]) -> str:
        return f"embedded:{self._run_id}:{records[0][1]}-{records[-1][1]}"

    async def _divide(self, batch: list[_Entry], error: StoreError) -> None:
        """One record that the store cannot read must not fail its neighbours: halve the batch until it stands alone."""
        if error.transient:
            _log.error("insert_failed", spans=sum(entry.envelope.span_count for entry in batch), error=str(error))
            self._fail(batch, TraceLogError(f"the trace store cannot write now: {error.advice}"))
        elif len(batch) > 1:
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
        else:
            _log.error("record_refused", project=batch[0].envelope.project, error=str(error))
            self._fail(batch, RefusedRecordError(f"the trace store cannot read this request: {error}"))

    def _remember(self, batch: list[_Entry]) -> None:
        for entry in batch:
            self._stored[entry.envelope.body_hash] = None
            self._instruments.spans_written.inc(entry.envelope.span_count)
            if not entry.stored.done():
                entry.stored.set_result(None)
        while len(self._stored) > REMEMBERED:
            self._stored.popitem(last=False)

    def _fail(self, batch: list[_Entry], error: Exception) -> None:
        for entry in batch:
            if not entry.stored.done():
                entry.stored.set_exception(error)
                with contextlib.suppress(asyncio.CancelledError):
                    entry.stored.exception()  # a sender that went away must not leave an unread exception behind
