"""How wrong the labels are, as rates: measured against clean labels, or estimated without them."""
