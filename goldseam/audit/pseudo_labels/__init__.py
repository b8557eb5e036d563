"""How wrong pseudo-labels are, judged on known labels that were held out."""
