"""Statistics of the audit: intervals, bootstraps, resampling and many tests at once.

What they share: images of one group (scene, patient, map block) depend on each other, groups do
not. So groups are what is counted, drawn and permuted.
"""
