"""What is read off pictures: one pass over the images, shard by shard.

A measure turns images into tables. The tables of two shards are put one under the other, and
readers add up what has equal keys: so any cut into shards gives the same numbers as one pass.
"""

from goldseam.audit.measuring.protocol import Measure, Seen

__all__ = ["Measure", "Seen"]
