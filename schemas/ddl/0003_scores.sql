-- What analyzers and people said about spans, and how much of the traffic they looked at.

-- Analyzers read by offset; parts and granules outside the wanted offsets are skipped.
ALTER TABLE spans ADD INDEX log_offset_index log_offset TYPE minmax GRANULARITY 1;

-- A judgement that is repeated replaces itself: its key is made of the span, the scorer and, for people, the feedback's id.
CREATE TABLE scores
(
    project LowCardinality(String),
    name LowCardinality(String) COMMENT 'what is judged: toxicity, grounding, refusal …',
    part LowCardinality(String) COMMENT 'prompt, completion, query; empty: the span',
    scorer LowCardinality(String) COMMENT 'name@version; scores of different scorers are never compared',
    source LowCardinality(String) COMMENT 'analyzer, human or evaluation',
    trace_id FixedString(16),
    span_id FixedString(8),
    score_id String COMMENT 'of the feedback; empty: an analyzer, which has one judgement a span',
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'of the span',
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'arrival of the span, or of the feedback',
    log_partition UInt32 CODEC(ZSTD(1)),
    log_offset UInt64 CODEC(Delta, ZSTD(1)),
    service LowCardinality(String),
    environment LowCardinality(String),
    operation LowCardinality(String),
    provider LowCardinality(String),
    model LowCardinality(String),
    target LowCardinality(String),
    release LowCardinality(String),
    user_id String CODEC(ZSTD(1)),
    conversation_id String CODEC(ZSTD(1)),
    value Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'NULL: abstained, for `reason`',
    flagged Nullable(UInt8) COMMENT 'the verdict that shares are counted from',
    label LowCardinality(String),
    reason LowCardinality(String),
    explanation String CODEC(ZSTD(1)),
    evidence String CODEC(ZSTD(1)) COMMENT 'JSON',
    weight Float64 CODEC(ZSTD(1)) COMMENT 'spans that this one stands for: 1 / sampled share',
    scored_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    author String CODEC(ZSTD(1)) COMMENT 'of feedback: who judged',
    INDEX trace_id_index trace_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {replacing_merge_tree}(scored_at)
PARTITION BY toDate(received_at)
ORDER BY (project, name, part, scorer, time, trace_id, span_id, score_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 268435456,
    auto_statistics_types = '';

-- One row for each stretch of the log and slice of it that an analyzer finished: counts of spans.
CREATE TABLE analysis_coverage
(
    project LowCardinality(String),
    analyzer LowCardinality(String),
    scorer LowCardinality(String) COMMENT 'name@version',
    log_partition UInt32,
    first_offset UInt64,
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'of the spans, cut to the minute',
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'of the spans, cut to the minute',
    service LowCardinality(String),
    model LowCardinality(String),
    target LowCardinality(String),
    release LowCardinality(String),
    wanted UInt64 COMMENT 'spans that have something to look at',
    looked_at UInt64 COMMENT 'of them, those within the budget',
    failed UInt64 COMMENT 'of those looked at, those given up after repeated errors',
    abstained Map(LowCardinality(String), UInt64) COMMENT 'of those looked at, those without a value, by reason',
    updated_at DateTime64(3, 'UTC')
)
ENGINE = {replacing_merge_tree}(updated_at)
PARTITION BY toDate(received_at)
ORDER BY (project, analyzer, scorer, log_partition, first_offset, time, received_at, service, model, target, release)
SETTINGS fsync_after_insert = 1, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 268435456, auto_statistics_types = '';
