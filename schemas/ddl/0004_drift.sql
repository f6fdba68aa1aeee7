-- Embedding drift: what is kept of the embeddings of texts, and what each look at a stream of them found.
-- A slice is a level of traffic: (service, target), and within it one release or one model. An empty release or model: all.
-- embedding_samples and drift_looks quote texts: they are kept as long as spans are (storage/migrations.py).

-- Sums of the features of a batch's texts, one row for each batch, bucket of arrival and slice; a batch that is repeated
-- replaces its rows. Days that are closed and summed up in embedding_units are dropped.
CREATE TABLE embedding_sketches
(
    project LowCardinality(String),
    part LowCardinality(String) COMMENT 'prompt, completion or query',
    embedder LowCardinality(String) COMMENT 'version; sums of two are never added',
    slice_service LowCardinality(String),
    slice_target LowCardinality(String),
    slice_release LowCardinality(String),
    slice_model LowCardinality(String),
    bucket DateTime('UTC') COMMENT 'start of the stretch of arrival',
    log_partition UInt32,
    first_offset UInt64 COMMENT 'of the batch',
    n UInt32 COMMENT 'texts',
    weight Float64 COMMENT 'texts that these stand for',
    squares Float64 COMMENT 'sum of their squared weights',
    sums Array(Float64) COMMENT 'weighted sum of the features',
    square_sums Array(Float64) COMMENT 'weighted sum of the squared features; they add up to the weight',
    updated_at DateTime64(3, 'UTC')
)
ENGINE = {replacing_merge_tree}(updated_at)
PARTITION BY toDate(bucket)
ORDER BY (project, part, embedder, slice_service, slice_target, slice_release, slice_model, bucket, log_partition, first_offset)
SETTINGS fsync_after_insert = 1, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 268435456, auto_statistics_types = '',
    index_granularity = 256;

-- The same sums over closed units of time: what looks are made from, whatever the traffic.
CREATE TABLE embedding_units
(
    project LowCardinality(String),
    unit_s UInt32 COMMENT 'length',
    part LowCardinality(String),
    embedder LowCardinality(String),
    slice_service LowCardinality(String),
    slice_target LowCardinality(String),
    slice_release LowCardinality(String),
    slice_model LowCardinality(String),
    unit DateTime('UTC') COMMENT 'its start',
    n UInt64,
    weight Float64,
    squares Float64,
    sums Array(Float64),
    square_sums Array(Float64),
    updated_at DateTime64(3, 'UTC')
)
ENGINE = {replacing_merge_tree}(updated_at)
PARTITION BY toYYYYMM(unit)
ORDER BY (project, unit_s, part, slice_service, slice_target, slice_release, slice_model, embedder, unit)
TTL unit + toIntervalDay(400) DELETE
SETTINGS fsync_after_insert = 1, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 268435456, auto_statistics_types = '',
    index_granularity = 32;

-- A sample of the embeddings themselves: of the texts that share a slot of a bucket the one with the highest rank stays.
-- Which that is depends on the texts alone, so that neither order nor repetition matter.
CREATE TABLE embedding_samples
(
    project LowCardinality(String),
    part LowCardinality(String),
    embedder LowCardinality(String),
    service LowCardinality(String),
    target LowCardinality(String),
    bucket DateTime('UTC'),
    slot UInt16,
    rank UInt64 COMMENT 'by the hash of trace and span, raised by the weight',
    release LowCardinality(String),
    model LowCardinality(String),
    trace_id FixedString(16),
    span_id FixedString(8),
    time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    preview String CODEC(ZSTD(1)),
    embedding Array(Float32)
)
ENGINE = {replacing_merge_tree}(rank)
PARTITION BY toDate(bucket)
ORDER BY (project, part, embedder, service, target, bucket, slot)
SETTINGS fsync_after_insert = 1, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 268435456, auto_statistics_types = '',
    index_granularity = 1024;

-- One decision for each stream and closed unit; looking again changes nothing.
CREATE TABLE drift_looks
(
    project LowCardinality(String),
    time DateTime64(3, 'UTC') COMMENT 'end of the unit',
    part LowCardinality(String),
    scale LowCardinality(String) COMMENT 'length of the unit, as in 1d',
    slice_service LowCardinality(String),
    slice_target LowCardinality(String),
    slice_release LowCardinality(String),
    slice_model LowCardinality(String),
    embedder LowCardinality(String),
    verdict LowCardinality(String) COMMENT 'drift, no-drift, or why there is none',
    reason String,
    n UInt64 COMMENT 'texts of the unit',
    window_n UInt64 COMMENT 'texts of the strongest window',
    window_units UInt32 COMMENT 'length of the strongest window',
    effect Nullable(Float64) COMMENT 'MMD of the strongest window from the reference; NULL: nothing to tell it from',
    effect_low Nullable(Float64),
    effect_high Nullable(Float64),
    score Nullable(Float64) COMMENT 'largest z over the windows',
    threshold Nullable(Float64),
    alarm Nullable(UInt8) COMMENT 'NULL: not decided',
    second_opinion Nullable(Float64) COMMENT 'e-detector over its own threshold; it alarms from 1 on',
    wealth Array(Float64) COMMENT 'state of the e-detector',
    onset Nullable(DateTime64(3, 'UTC')),
    reference_id String,
    windows String COMMENT 'JSON: every window that was judged',
    evidence String COMMENT 'JSON: exemplars and clusters of a drift',
    looked_at DateTime64(3, 'UTC')
)
ENGINE = {replacing_merge_tree}(looked_at)
PARTITION BY toYYYYMM(time)
ORDER BY (project, part, scale, slice_service, slice_target, slice_release, slice_model, time)
SETTINGS fsync_after_insert = 1, min_bytes_for_wide_part = 268435456, auto_statistics_types = '';
