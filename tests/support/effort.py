"""How often what is drawn at random is tried: a little in `make test`, more in `make fuzz`."""

import os

THOROUGH = os.environ.get("MPIMAGES_TEST_THOROUGH") == "1"


def draws(usual: int, thorough: int) -> int:
    """How many times this run tries."""
    return thorough if THOROUGH else usual
