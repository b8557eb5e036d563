"""`python -m goldseam …`: the command line, as `torchrun -m goldseam …` starts it."""

from goldseam.cli import main

main()
