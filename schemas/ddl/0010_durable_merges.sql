-- What was stored stays stored through a power cut. A merge deletes the parts that it read, inside one process at once, so what it
-- wrote is forced to disk before; so is what a table without this was given.
-- Inside one process or on a single server the deleted parts go every second, some two hundred files at once at 2,000 spans a
-- second: in the thousands that gather in half a minute, inserts waited behind them. Replicas ask their keeper each time: not there.
ALTER TABLE spans MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1{part_removal};

ALTER TABLE scores MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1{part_removal};

ALTER TABLE analysis_coverage MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1{part_removal};

ALTER TABLE drift_looks MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1{part_removal};

ALTER TABLE embedding_samples MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1{part_removal};

ALTER TABLE embedding_sketches MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1{part_removal};

ALTER TABLE embedding_units MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1{part_removal};

ALTER TABLE prices MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1{part_removal};

ALTER TABLE model_resolution MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1{part_removal};

ALTER TABLE store_migrations MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1{part_removal};
