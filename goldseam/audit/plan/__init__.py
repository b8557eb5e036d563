"""Which labels to buy next for a budget, and whether that beats choosing at random."""
