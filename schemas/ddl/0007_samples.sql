-- Looks read the lowest slots of every bucket, which are a random sample and lie side by side: with small granules, and a file
-- for each column once parts are merged, the rest stays on disk. A granule's size cannot be changed in place. Every statement may
-- run again.
DROP TABLE IF EXISTS embedding_samples_new;

CREATE TABLE embedding_samples_new AS embedding_samples
ENGINE = {replacing_merge_tree}(rank)
PARTITION BY toDate(bucket)
ORDER BY (project, part, embedder, service, target, bucket, slot)
SETTINGS fsync_after_insert = 1, ttl_only_drop_parts = 1, min_bytes_for_wide_part = 8388608, auto_statistics_types = '',
    index_granularity = 32;

INSERT INTO embedding_samples_new SELECT * FROM embedding_samples SETTINGS max_partitions_per_insert_block = 0;

EXCHANGE TABLES embedding_samples_new AND embedding_samples;

DROP TABLE embedding_samples_new;
