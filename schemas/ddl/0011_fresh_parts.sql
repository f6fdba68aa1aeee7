-- The embedded store leaves fresh parts as they are and compresses what merges write (schemas/chdb.xml). A server, whose replicas
-- fetch fresh parts, compresses both.
ALTER TABLE spans MODIFY SETTING default_compression_codec = '{light_codec}';
