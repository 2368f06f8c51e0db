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


def stripe_grain(stripe: int, record: int, count: int, per_file: int | None = None) -> int:
    """Return the least number of records between boundaries that all lie on stripes. Local.

    Each file begins at a stripe. Where its records are no multiple of that number, the boundaries
    between files are left.

    Parameters
    ----------
    stripe : int
        Bytes; 0: there are none, and records may be parted anywhere.
    record : int
        Bytes of a record.
    count : int
        The number of records.
    per_file : int, optional
        Records in a file; default: all.
    """
    if not stripe:
        return 1
    grain, whole = math.lcm(stripe, record) // record, min(count, per_file or count)
    return whole if grain >= whole or (whole < count and whole % grain) else grain
