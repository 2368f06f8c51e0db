"""A record handed from each rank to the rank of the records beside its own."""

from __future__ import annotations

import numpy as np

from ..core.partition import Partition
from ..engine.runner import Action
from ..spmd.collectives import Transfer

__all__ = ["handed"]


def handed(
    action: Action, partition: Partition, record: np.ndarray | None, step: int
) -> np.ndarray | None:
    """Hand a record to the next rank that has any (`step` 1), or the one before (-1). Collective.

    Who sends to whom follows from the partition, and nobody waits before all is under way.

    Parameters
    ----------
    record : (width,) ndarray or None
        C-contiguous, of one width on all ranks; None on ranks without records.

    Returns
    -------
    ndarray or None
        What came from the other side; None where nothing lies there.
    """
    comm = action.comm
    owners = [rank for rank, count in enumerate(partition.counts) if count]
    place = owners.index(comm.rank) if comm.rank in owners else -1
    received: np.ndarray | None = None
    with action.together():
        if record is not None and 0 <= place - step < len(owners):
            received = np.empty_like(record)
    awaited = [] if received is None else [(owners[place - step], received)]
    sent = []
    if record is not None and 0 <= place + step < len(owners):
        sent = [(owners[place + step], record)]
    Transfer(comm, sent, awaited).finish()
    return received
