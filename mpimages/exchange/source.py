"""What sources have in common whose records come by an exchange between the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..core.partition import Partition
from ..engine.runner import Action, Records
from ..engine.selection import Settled

__all__ = ["ExchangedSource"]


class ExchangedSource:
    """A source that makes its records of parts of all records of a collection.

    Parameters
    ----------
    records : Records
        Those that are cut and moved. Shared with their collection: results of settling are visible
        to both.

    Attributes
    ----------
    name : str
        The method that made it.
    """

    collective: ClassVar[bool] = True
    name: ClassVar[str]

    def __init__(self, records: Records) -> None:
        self.records = records
        self.number = records.chain.source.number

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of the records that are moved."""
        return self.records.dtype

    @property
    def inputs(self) -> Sequence[str]:
        """The files of the records that are moved."""
        return self.records.chain.source.inputs

    @property
    def partition(self) -> Partition | None:
        """None: any rank can own any record."""
        return None

    def settle(self) -> Settled:
        """Settle the records that are moved, and return their selection. Collective."""
        action = self._action()
        return action.require_settled(self.records.settle(action))

    def _action(self) -> Action:
        return self.records.make_action(self.name)
