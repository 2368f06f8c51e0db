"""``python -m mpimages``: the command line."""

from .cli import main

main()
