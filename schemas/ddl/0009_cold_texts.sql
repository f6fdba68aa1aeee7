-- Texts are most of a span. They have the codec of their part: a light one at first, so that inserts and merges are quick, and a
-- day later a thorough one whose window spans a whole granule of texts (storage/migrations.py), so that a prompt that comes again
-- and again is stored once for each granule. A block that is compressed by itself is therefore as large as a granule. One merge at
-- a time does that, so that the others keep up.
ALTER TABLE spans MODIFY SETTING default_compression_codec = 'ZSTD(1)', max_number_of_merges_with_ttl_in_pool = 1;

ALTER TABLE spans
    MODIFY COLUMN input_messages REMOVE CODEC,
    MODIFY COLUMN output_messages REMOVE CODEC,
    MODIFY COLUMN input_preview REMOVE CODEC,
    MODIFY COLUMN output_preview REMOVE CODEC,
    MODIFY COLUMN attributes REMOVE CODEC,
    MODIFY COLUMN resource_attributes REMOVE CODEC,
    MODIFY COLUMN events REMOVE CODEC;

ALTER TABLE spans MODIFY COLUMN input_messages MODIFY SETTING max_compress_block_size = 8388608;

ALTER TABLE spans MODIFY COLUMN output_messages MODIFY SETTING max_compress_block_size = 8388608;
