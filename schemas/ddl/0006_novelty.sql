-- A second scan beside that of the mean embeddings: how much texts are like anything in the reference.
ALTER TABLE drift_looks
    ADD COLUMN novelty String DEFAULT '{}' COMMENT 'JSON: the scan of ν; {}: not judged',
    ADD COLUMN likeness_n Array(UInt32) COMMENT 'sampled texts of each unit since the reference that windows reach, the newest last',
    ADD COLUMN likeness_sums Array(Float64) COMMENT 'their sums of ν';
