"""Repair of tag heads, each category alone, on the labels that somebody gave.

`solver.fit_heads` works on plain arrays; `stage.finetune` on a checkpoint and a dataset.
"""
