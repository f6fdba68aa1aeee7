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
            "langsmith.span.kind",
            "mlflow.spanType",
        ),
    ),
    Column("provider", "text", ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider")),
    Column(
        "request_model",
        "text",
        (
            "gen_ai.request.model",
            "llm.request.model_name",
            "embedding.model_name",
            "reranker.model_name",
            "ai.model.id",
            "langfuse.observation.model.name",
        ),
    ),
    Column(
        "response_model",
        "text",
        ("gen_ai.response.model", "llm.response.model_name", "llm.model_name", "ai.response.model"),
    ),
    Column("response_id", "text", ("gen_ai.response.id", "ai.response.id")),
    Column(
        "finish_reasons",
        "list",
        (
            "gen_ai.response.finish_reasons",
            "llm.finish_reason",
            "llm.finish_reasons",
            "ai.response.finishReason",
            "finish_reason",
        ),
    ),
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
    Column("agent_name", "text", ("gen_ai.agent.name", "agent.name", "agent_name")),
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
    Column("error_type", "text", ("error.type",)),
    Column("exception_type", "text", ("exception.type",)),
    Column("usage_details", "text", ("langfuse.observation.usage_details",)),
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
    "azure-openai.chat": "azure.ai.openai",
    "azure-openai.responses": "azure.ai.openai",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "google.vertex.chat": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "google.generative-ai": "gcp.gemini",
    "bedrock": "aws.bedrock",
    "amazon-bedrock": "aws.bedrock",
    "aws": "aws.bedrock",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "mistral.chat": "mistral_ai",
    "xai": "x_ai",
    "xai.chat": "x_ai",
    "watsonx": "ibm.watsonx.ai",
    "openai.chat": "openai",
    "openai.completion": "openai",
    "openai.responses": "openai",
    "openai.embedding": "openai",
    "anthropic.messages": "anthropic",
    "cohere.chat": "cohere",
    "deepseek.chat": "deepseek",
    "groq.chat": "groq",
    "perplexity.chat": "perplexity",
    "langchain": "",
}
"""Names of providers that are no longer, or never were, those of the OpenTelemetry registry. All are kept in lower case."""

_MLFLOW: dict[str, str] = {
    "llm": "chat",
    "chat_model": "chat",
    "embedding": "embeddings",
    "retriever": "retrieval",
    "reranker": "rerank",
    "tool": "execute_tool",
    "agent": "invoke_agent",
    "chain": "invoke_workflow",
    "unknown": "",
}
"""MLflow writes its kinds as JSON strings, quotes included."""

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
    "chat_model": "chat",
    **{f'"{kind}"': operation for kind, operation in _MLFLOW.items()},
    "span": "",
    "event": "",
    "unknown": "",
}
"""The kinds of other dialects as operations of OpenTelemetry; others are kept as they came, in lower case."""

USAGE_DETAILS: dict[str, str] = {
    "input_tokens": "input",
    "output_tokens": "output",
    "cache_read_tokens": "input_cached_tokens",
    "cache_write_tokens": "input_cache_creation",
    "reasoning_tokens": "output_reasoning_tokens",
}
"""The names of the counts in Langfuse's `usage_details`, whose buckets do not overlap."""

USAGE_OPERATIONS: tuple[str, ...] = ("chat", "text_completion", "generate_content", "embeddings")
"""The operations whose usage is their own. Agents, workflows and tools repeat the usage of their children."""


@dataclass(frozen=True)
class Conversation:
    """Where one side of a conversation is found.

    Attributes:
        keys: JSON or plain text, in order of precedence.
        numbered: the first two parts of keys such as `llm.input_messages.0.message.content`.
        events: the deprecated events of one message each.
        beside: those of `keys` that stay among the attributes as well, since another key may win over them.
    """

    name: str
    default_role: str
    keys: tuple[str, ...]
    numbered: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


SYSTEM = Conversation("system", "system", keys=("gen_ai.system_instructions",))
INPUT = Conversation(
    name="input",
    default_role="user",
    keys=(
        "gen_ai.input.messages",
        "gen_ai.tool.call.arguments",
        "gen_ai.retrieval.query.text",
        "gen_ai.prompt",
        "ai.prompt.messages",
        "ai.prompt",
        "ai.toolCall.args",
        "ai.value",
        "ai.values",
        "langfuse.observation.input",
        "input.value",
        "traceloop.entity.input",
        "mlflow.spanInputs",
        "pydantic_ai.all_messages",
        "all_messages_events",
        "events",
        "tool_arguments",
        "langfuse.trace.input",
        "llm.prompts",
        "input",
    ),
    numbered=("llm.input_messages", "gen_ai.prompt", "llm.prompts", "embedding.embeddings"),
    events=("gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message"),
    beside=("events", "langfuse.trace.input", "llm.prompts", "input"),
)
OUTPUT = Conversation(
    name="output",
    default_role="assistant",
    keys=(
        "gen_ai.output.messages",
        "gen_ai.tool.call.result",
        "gen_ai.completion",
        "ai.response.text",
        "ai.response.toolCalls",
        "ai.response.object",
        "ai.toolCall.result",
        "langfuse.observation.output",
        "output.value",
        "traceloop.entity.output",
        "mlflow.spanOutputs",
        "final_result",
        "tool_response",
        "langfuse.trace.output",
        "output",
    ),
    numbered=("llm.output_messages", "gen_ai.completion", "llm.choices"),
    events=("gen_ai.choice",),
    beside=("ai.response.toolCalls", "ai.response.object", "final_result", "langfuse.trace.output", "output"),
)
DOCUMENTS = Conversation(
    name="documents",
    default_role="document",
    keys=("gen_ai.retrieval.documents",),
    numbered=("retrieval.documents", "reranker.output_documents"),
)
"""What a retriever found: the output of its span, one message a document."""

CONVERSATIONS: tuple[Conversation, ...] = (SYSTEM, INPUT, OUTPUT, DOCUMENTS)

MESSAGE_EVENTS: dict[str, str] = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
"""The role in each deprecated message event."""

EVENT_TEXT_KEYS: tuple[str, ...] = ("content", "gen_ai.event.content", "message")
"""Where those events keep their text."""

FOREIGN_EVENTS: tuple[str, ...] = ("gen_ai.evaluation.result",)
"""Events whose attributes say nothing about the span itself."""

PARTS_KEY_START = '[{"toolCall'
"""How a list of tool calls by themselves begins (the Vercel AI SDK's)."""

TEXT_KEYS: tuple[str, ...] = tuple(key for side in CONVERSATIONS for key in side.keys)
"""Every key whose text the messages hold."""
