"""Stripes of a parallel file system: where one rank's part of a file ends and the next begins.

Lustre, GPFS and BeeGFS lock a file, and place it on servers, by stripes. Two ranks that write one
stripe wait for each other. They do not if the boundaries between ranks fall on stripes.
"""

from __future__ import annotations

import math
import os

from ...core.sizes import parse_size

__all__ = ["STRIPE", "stripe_bytes", "stripe_grain"]

STRIPE = "MPIMAGES_STRIPE"


def stripe_bytes() -> int:
    """Return the bytes of a stripe that MPIMAGES_STRIPE gives; 0 if it is not set. Local.

    Raises
    ------
    ValueError
        If it is no size.
    """
    given = os.environ.get(STRIPE)
    if given is None:
        return 0
    try:
        return parse_size(given)
    except ValueError as error:
        raise ValueError(f"{STRIPE}={given!r}: {error}; unset it for no stripes") from None


def stripe_grain(stripe: int, record: int) -> int:
    """Return the least number of records, of `record` bytes each, that are whole stripes. Local.

    It is 1 without stripes (0).
    """
    return math.lcm(stripe, record) // record if stripe else 1
