-- Looks read the lowest slots of every bucket, which are a random sample and lie side by side: with small granules, and a file
-- for each column once parts are merged, the rest stays on disk. A granule's size cannot be changed in place. Every statement may
-- run again.
DROP TABLE IF EXISTS embedding_samples_new;

CREATE TABLE embedding_samples_new
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
SETTINGS fsync_after_insert = 1, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 8388608, auto_statistics_types = '',
    index_granularity = 32;

INSERT INTO embedding_samples_new SELECT * FROM embedding_samples SETTINGS max_partitions_per_insert_block = 0;

EXCHANGE TABLES embedding_samples_new AND embedding_samples;

DROP TABLE embedding_samples_new;
