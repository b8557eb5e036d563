"""The container images that components run in.

A name here is what `goldseam compile` writes unless an image is given; on a cluster pin one by digest
(`--image registry/name@sha256:…`), since a tag can move while cached outputs stay.
"""

# one image for all: every stage opens datasets with the same library that trains on them
GOLDSEAM = "goldseam/goldseam:0.1.0"
