"""The dataset format: a folder of Parquet shards in which an unknown label is null, never zero."""
