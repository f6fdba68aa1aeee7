-- The trace store: what the writer inserts, and the one wide table that everything reads.

-- The envelope as the writer sends it (schemas/envelope.proto). Null keeps nothing: the view below it decodes.
CREATE TABLE otlp_requests
(
    log_partition UInt32,
    log_offset UInt64,
    envelope Tuple(
        project String,
        received_at_unix_nano UInt64,
        span_count UInt32,
        body_hash String,
        request Tuple(resource_spans Array(Tuple(
            resource Tuple(attributes Array({key_value})),
            scope_spans Array(Tuple(
                scope Tuple(name String),
                spans Array(Tuple(
                    trace_id String,
                    span_id String,
                    parent_span_id String,
                    name String,
                    kind Int32,
                    start_time_unix_nano UInt64,
                    end_time_unix_nano UInt64,
                    attributes Array({key_value}),
                    events Array(Tuple(time_unix_nano UInt64, name String, attributes Array({key_value}))),
                    links Array(Tuple(trace_id String, span_id String)),
                    status Tuple(message String, code Int32)
                ))
            ))
        )))
    )
)
ENGINE = Null;

CREATE TABLE spans
(
    project LowCardinality(String),
    trace_id FixedString(16),
    span_id FixedString(8),
    parent_span_id FixedString(8) COMMENT 'zero bytes: a root',
    span_key UInt64 COMMENT 'a span that arrived twice has one key',
    usage_key UInt64 COMMENT 'spans that report the usage of one response have one key',
    log_partition UInt32 CODEC(Delta, ZSTD(1)),
    log_offset UInt64 CODEC(Delta, ZSTD(1)),
    record_hash FixedString(16) CODEC(ZSTD(1)) COMMENT 'of the request the span came in: an identical retry is stored once',
    record_spans UInt32 CODEC(ZSTD(1)) COMMENT 'spans in that request',
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'arrival at the receiver',
    started_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'as the client said',
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'started_at, or received_at where that is absurd',
    duration_ms Nullable(Float64) CODEC(ZSTD(1)),
    name LowCardinality(String),
    kind LowCardinality(String),
    status LowCardinality(String),
    status_message String CODEC(ZSTD(1)),
    error_type LowCardinality(String),
    is_error UInt8,
    service LowCardinality(String),
    service_version LowCardinality(String),
    environment LowCardinality(String),
    scope LowCardinality(String),
    operation LowCardinality(String) COMMENT 'gen_ai.operation.name; empty: not a generative AI span',
    provider LowCardinality(String),
    model LowCardinality(String) COMMENT 'the model that answered, else the model that was asked',
    request_model LowCardinality(String),
    response_model LowCardinality(String),
    target LowCardinality(String),
    release LowCardinality(String),
    conversation_id String CODEC(ZSTD(1)),
    user_id String CODEC(ZSTD(1)),
    response_id String CODEC(ZSTD(1)),
    prompt_name LowCardinality(String),
    prompt_version LowCardinality(String),
    agent_name LowCardinality(String),
    tool_name LowCardinality(String),
    finish_reasons Array(LowCardinality(String)),
    input_tokens Nullable(UInt64) CODEC(ZSTD(1)) COMMENT 'uncached + cache read + cache write',
    input_uncached_tokens Nullable(UInt64) CODEC(ZSTD(1)),
    cache_read_tokens Nullable(UInt64) CODEC(ZSTD(1)),
    cache_write_tokens Nullable(UInt64) CODEC(ZSTD(1)),
    output_tokens Nullable(UInt64) CODEC(ZSTD(1)) COMMENT 'reasoning included',
    reasoning_tokens Nullable(UInt64) CODEC(ZSTD(1)),
    usage_convention LowCardinality(String) COMMENT 'whether the client counted cached tokens within the input',
    time_to_first_token_ms Nullable(Float64) CODEC(ZSTD(1)),
    cost_usd Nullable(Decimal(18, 12)) CODEC(ZSTD(1)),
    price_version LowCardinality(String) COMMENT 'empty: not priced',
    input_messages Array(Tuple(role LowCardinality(String), text String)) CODEC(ZSTD(1)),
    output_messages Array(Tuple(role LowCardinality(String), text String)) CODEC(ZSTD(1)),
    input_preview String CODEC(ZSTD(1)),
    output_preview String CODEC(ZSTD(1)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    resource_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    events Array(Tuple(time DateTime64(9, 'UTC'), name String, attributes Map(String, String))) CODEC(ZSTD(1)),
    links Array(Tuple(trace_id String, span_id String)) CODEC(ZSTD(1)),
    invalid_attributes Array(LowCardinality(String)) COMMENT 'columns left NULL because their value could not be read',
    INDEX trace_id_index trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX received_at_index received_at TYPE minmax GRANULARITY 1
)
ENGINE = {merge_tree}
PARTITION BY toDate(received_at)
ORDER BY (project, time, span_key)
-- A fresh part is one file: with a file for each of the 200 streams, most of a small insert would be creating and syncing files.
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, {deduplication_window} = 10000, ttl_only_drop_parts = 1,
    min_bytes_for_wide_part = 268435456, auto_statistics_types = '';
