-- What was stored stays stored through a power cut. A merge deletes the parts that it read, inside one process at once, so what it
-- wrote is forced to disk before (storage/migrations.py); so is what a table without this was given.
ALTER TABLE spans MODIFY SETTING {durable};

ALTER TABLE scores MODIFY SETTING {durable};

ALTER TABLE analysis_coverage MODIFY SETTING {durable};

ALTER TABLE drift_looks MODIFY SETTING {durable};

ALTER TABLE embedding_samples MODIFY SETTING {durable};

ALTER TABLE embedding_sketches MODIFY SETTING {durable};

ALTER TABLE embedding_units MODIFY SETTING {durable};

ALTER TABLE prices MODIFY SETTING {durable};

ALTER TABLE model_resolution MODIFY SETTING {durable};

ALTER TABLE store_migrations MODIFY SETTING {durable};
