"""The container images that components run in.

A name here is what a pipeline is compiled with unless an image is given. On a cluster give one that
is pinned by digest (`pipelines.settings`): a tag can move while cached outputs stay.
"""

# one image for all: every stage opens datasets with the same library that trains on them
GOLDSEAM = "goldseam/goldseam:0.1.0"
