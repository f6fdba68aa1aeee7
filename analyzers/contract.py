"""What an analyzer is given and what it gives back. Built-in analyzers and those of third parties meet the same contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, Protocol

Part = Literal["prompt", "completion", "query", ""]
"""What of a span a finding is about: what the user asked, what the model answered, what a retriever was asked, the whole."""


@dataclass(frozen=True)
class Message:
    """One message; `role` is user, assistant, system, tool or document."""

    role: str
    text: str


@dataclass(frozen=True)
class SpanText:
    """One generative AI span with its text. Ids are lowercase hex; target, release and user are those of its trace."""

    project: str
    trace_id: str
    span_id: str
    log_partition: int
    log_offset: int
    received_at: datetime
    time: datetime
    operation: str
    service: str
    environment: str
    provider: str
    model: str
    target: str
    release: str
    user: str
    conversation: str
    status: str
    error_type: str
    finish_reasons: tuple[str, ...]
    input: tuple[Message, ...]
    output: tuple[Message, ...]
    input_tokens: int | None = None
    output_tokens: int | None = None
    duration_ms: float | None = None
    time_to_first_token_ms: float | None = None

    @cached_property
    def prompt(self) -> str:
        """What the user said last; empty where no user spoke."""
        return next((message.text for message in reversed(self.input) if message.role == "user"), "")

    @cached_property
    def completion(self) -> str:
        """What the model answered, its choices joined."""
        return "\n".join(message.text for message in self.output if message.role == "assistant")

    @property
    def retrieves(self) -> bool:
        """Whether it is a retrieval: its prompt is a query, its output documents."""
        return self.operation == "retrieval"

    @property
    def generates(self) -> bool:
        """Whether a model answered here."""
        return self.operation in ("chat", "text_completion", "generate_content")

    def text_of(self, part: Part) -> str:
        """The text of one part; empty where the span has none."""
        if part == "query":
            return self.prompt if self.retrieves else ""
        if not self.generates:
            return ""
        return {"prompt": self.prompt, "completion": self.completion}.get(part, "")


@dataclass(frozen=True)
class Context:
    """What a trace's retrievers and tools had found before a span's answer, in order of time."""

    documents: tuple[str, ...] = ()
    tool_results: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Spans of one stretch of the log, sampled to the analyzer's budget.

    `contexts` is keyed by (project, trace id, span id) and filled only for analyzers with `needs_context`: ask `context_of`.
    `weights`, in the order of `spans`, says for how many spans each of them stands; empty: each for itself.
    """

    spans: tuple[SpanText, ...]
    contexts: Mapping[tuple[str, str, str], Context] = field(default_factory=dict)
    log_partition: int = 0
    first_offset: int = 0
    weights: tuple[float, ...] = ()

    def context_of(self, span: SpanText) -> Context:
        """What had been found in the span's trace before it answered; empty where nothing had."""
        return self.contexts.get((span.project, span.trace_id, span.span_id), Context())


@dataclass(frozen=True)
class Score:
    """One judgement of one span. `value` None means abstained, and `reason` says why; it never stands for zero.

    `flagged` is the verdict that shares are counted from (toxic, unsupported, refused …); None without one. `evidence` is
    what a person is shown, as JSON-serialisable data: text pieces with `start` and `end` offsets and the like.
    """

    span: SpanText
    name: str
    part: Part = ""
    value: float | None = None
    flagged: bool | None = None
    label: str = ""
    reason: str = ""
    explanation: str = ""
    evidence: Sequence[Mapping[str, Any]] = ()
    scorer: str = ""
    """Empty: the analyzer's own name and version. A fallback names itself here, as `name@version`."""


@dataclass(frozen=True)
class TableRows:
    """Rows of a table of the analyzer's own. Its engine must make an identical row replace the earlier one."""

    table: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Findings:
    """What an analyzer found in a batch. The same batch gives the same findings, so that a replay changes nothing."""

    scores: tuple[Score, ...] = ()
    tables: tuple[TableRows, ...] = ()


class AnalyzerUnavailableError(Exception):
    """It cannot work here and now, whatever the batch: nothing is skipped, the batch waits; the message names the fix."""


class Analyzer(Protocol):
    """Computes something about spans. Exceptions fail the batch, which is tried again; other analyzers go on."""

    @property
    def name(self) -> str:
        """Short and stable: the name of its cursor, its coverage and its scores' scorer."""

    @property
    def version(self) -> str:
        """Changes whenever the same text could be scored differently."""

    @property
    def parts(self) -> Sequence[Part]:
        """What it looks at, for budget and coverage; a span with none of them is not its business. "" is the whole of a span
        in which a model answered, also one without text."""

    async def analyze(self, batch: Batch) -> Findings:
        """Findings of `batch`. Heavy work runs on threads (see `Resources`), never on the event loop."""
