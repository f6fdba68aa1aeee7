"""The mapping of attributes to columns: every dialect is a row of keys, in order of precedence.

The first key of a column is OpenTelemetry's current name; the others are its deprecated names, OpenInference,
OpenLLMetry, Langfuse, the Vercel AI SDK and vLLM. Supporting another dialect is adding its keys here and a golden test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """A column filled from one of `keys`, the first that a span carries with a value that is not empty.

    `text` is kept as it is; `count` must be a whole number ≥ 0; `seconds` and `milliseconds` must be finite and ≥ 0;
    `list` is JSON text of an array of strings.
    """

    name: str
    type: Literal["text", "count", "seconds", "milliseconds", "list"]
    keys: tuple[str, ...]


SPAN_COLUMNS: tuple[Column, ...] = (
    Column(
        "operation",
        "text",
        (
            "gen_ai.operation.name",
            "openinference.span.kind",
            "ai.operationId",
            "llm.request.type",
            "traceloop.span.kind",
            "langfuse.observation.type",
        ),
    ),
    Column("provider", "text", ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider")),
    Column(
        "request_model",
        "text",
        ("gen_ai.request.model", "llm.request.model_name", "embedding.model_name", "reranker.model_name", "ai.model.id"),
    ),
    Column(
        "response_model",
        "text",
        ("gen_ai.response.model", "llm.response.model_name", "llm.model_name", "ai.response.model"),
    ),
    Column("response_id", "text", ("gen_ai.response.id", "ai.response.id")),
    Column("finish_reasons", "list", ("gen_ai.response.finish_reasons", "llm.finish_reasons", "ai.response.finishReason")),
    Column(
        "conversation_id",
        "text",
        (
            "gen_ai.conversation.id",
            "session.id",
            "langfuse.session.id",
            "traceloop.association.properties.session_id",
            "ai.telemetry.metadata.sessionId",
        ),
    ),
    Column(
        "user_id",
        "text",
        (
            "user.id",
            "enduser.id",
            "langfuse.user.id",
            "llm.user",
            "gen_ai.openai.request.user",
            "traceloop.association.properties.user_id",
            "ai.telemetry.metadata.userId",
        ),
    ),
    Column(
        "prompt_name",
        "text",
        ("gen_ai.prompt.name", "langfuse.observation.prompt.name", "langfuse.prompt.name", "traceloop.prompt.key", "prompt.id"),
    ),
    Column(
        "prompt_version",
        "text",
        (
            "gen_ai.prompt.version",
            "langfuse.observation.prompt.version",
            "langfuse.prompt.version",
            "traceloop.prompt.version",
            "llm.prompt_template.version",
        ),
    ),
    Column("agent_name", "text", ("gen_ai.agent.name", "agent.name")),
    Column("tool_name", "text", ("gen_ai.tool.name", "tool.name", "tool_call.function.name", "ai.toolCall.name")),
    Column(
        "input_tokens",
        "count",
        (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "llm.usage.prompt_tokens",
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
            "ai.usage.tokens",
        ),
    ),
    Column(
        "output_tokens",
        "count",
        (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "llm.usage.completion_tokens",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
        ),
    ),
    Column(
        "cache_read_tokens",
        "count",
        (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
            "ai.usage.cachedInputTokens",
        ),
    ),
    Column(
        "cache_write_tokens",
        "count",
        (
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "llm.token_count.prompt_details.cache_write",
        ),
    ),
    Column(
        "reasoning_tokens",
        "count",
        (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.reasoningTokens",
        ),
    ),
    Column(
        "time_to_first_token_s",
        "seconds",
        (
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.server.time_to_first_token",
            "gen_ai.latency.time_to_first_token",
        ),
    ),
    Column("time_to_first_token_ms", "milliseconds", ("ai.response.msToFirstChunk", "ai.response.msToFirstToken")),
    Column("error_type", "text", ("error.type", "exception.type")),
    Column("target", "text", ("tracewarden.target",)),
    Column("release", "text", ("tracewarden.release",)),
    Column("langfuse_release", "text", ("langfuse.release",)),
    Column("span_environment", "text", ("deployment.environment.name", "langfuse.environment")),
)

RESOURCE_COLUMNS: tuple[Column, ...] = (
    Column("service", "text", ("service.name",)),
    Column("service_version", "text", ("service.version",)),
    Column("resource_environment", "text", ("deployment.environment.name", "deployment.environment")),
    Column("resource_target", "text", ("tracewarden.target",)),
    Column("resource_release", "text", ("tracewarden.release",)),
)

PROVIDERS: dict[str, str] = {
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "azure": "azure.ai.openai",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
    "watsonx": "ibm.watsonx.ai",
    "openai.chat": "openai",
    "openai.responses": "openai",
    "anthropic.messages": "anthropic",
    "google.generative-ai": "gcp.gemini",
}
"""Names of providers that are no longer, or never were, those of the OpenTelemetry registry (compared in lower case)."""

OPERATIONS: dict[str, str] = {
    "llm": "chat",
    "generation": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
    "retriever": "retrieval",
    "rerank": "rerank",
    "reranker": "rerank",
    "tool": "execute_tool",
    "agent": "invoke_agent",
    "chain": "invoke_workflow",
    "workflow": "invoke_workflow",
    "task": "invoke_workflow",
    "prompt": "prompt",
    "guardrail": "guardrail",
    "evaluator": "evaluate",
    "ai.generatetext.dogenerate": "chat",
    "ai.streamtext.dostream": "chat",
    "ai.generateobject.dogenerate": "chat",
    "ai.streamobject.dostream": "chat",
    "ai.embed.doembed": "embeddings",
    "ai.embedmany.doembed": "embeddings",
    "ai.toolcall": "execute_tool",
    "ai.generatetext": "invoke_agent",
    "ai.streamtext": "invoke_agent",
    "ai.generateobject": "invoke_agent",
    "ai.streamobject": "invoke_agent",
    "ai.embed": "invoke_workflow",
    "ai.embedmany": "invoke_workflow",
}
"""The kinds of other dialects as operations of OpenTelemetry (compared in lower case); others are kept as they came."""

USAGE_OPERATIONS: tuple[str, ...] = ("chat", "text_completion", "generate_content", "embeddings")
"""The operations whose usage is their own. Agents, workflows and tools repeat the usage of their children."""


@dataclass(frozen=True)
class Numbered:
    """Keys such as `<prefix>N<role>` and `<prefix>N<text>`, N counting from 0."""

    prefix: str
    role: str
    text: str


@dataclass(frozen=True)
class Conversation:
    """Where one side of a conversation is found: JSON or plain text under `keys`, numbered keys, or message events."""

    name: str
    keys: tuple[str, ...]
    numbered: tuple[Numbered, ...]
    events: tuple[str, ...]
    default_role: str


INPUT = Conversation(
    name="input",
    keys=(
        "gen_ai.input.messages",
        "gen_ai.prompt",
        "ai.prompt.messages",
        "ai.prompt",
        "langfuse.observation.input",
        "gen_ai.retrieval.query.text",
        "input.value",
        "traceloop.entity.input",
        "mlflow.spanInputs",
    ),
    numbered=(
        Numbered("llm.input_messages.", ".message.role", ".message.content"),
        Numbered("gen_ai.prompt.", ".role", ".content"),
    ),
    events=("gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message"),
    default_role="user",
)
OUTPUT = Conversation(
    name="output",
    keys=(
        "gen_ai.output.messages",
        "gen_ai.completion",
        "ai.response.text",
        "langfuse.observation.output",
        "output.value",
        "traceloop.entity.output",
        "mlflow.spanOutputs",
    ),
    numbered=(
        Numbered("llm.output_messages.", ".message.role", ".message.content"),
        Numbered("gen_ai.completion.", ".role", ".content"),
    ),
    events=("gen_ai.choice",),
    default_role="assistant",
)
CONVERSATIONS: tuple[Conversation, ...] = (INPUT, OUTPUT)
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
EVENT_TEXT_KEYS: tuple[str, ...] = ("content", "gen_ai.event.content", "message")
"""Where the deprecated message events keep their text."""

TEXT_KEYS: tuple[str, ...] = (SYSTEM_INSTRUCTIONS, *(key for side in CONVERSATIONS for key in side.keys))
