"""Users' own aggregates of all records, along the fixed tree."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from ..engine.runner import Action
from ..engine.selection import Selection
from ..spmd.agreement import from_rank
from ..spmd.watch import between_calls, calling
from .tree import Tree, gather_tree

__all__ = ["aggregate"]

# Divisors of the budget for the states of a rank, and for what it receives at once.
STATES_SHARE = 2
RECEIVED_SHARE = 4


def aggregate(
    action: Action,
    selection: Selection,
    leaf: Callable[[int, np.ndarray], Any],
    merge: Callable[[Any, Any], Any],
    finish: Callable[[Any], Any] | None = None,
) -> Any:
    """Merge a state of each record to one of all, and return it on all ranks. Collective.

    Parameters
    ----------
    leaf : callable
        leaf(key, value) returns the state of one record, whose value is a copy; `key` is the
        chain's.
    merge : callable
        merge(a, b) returns the state of both; a is of the earlier records.
    finish : callable, optional
        finish(state) makes the result. Rank 0 calls it, and all get what it returns.
    """
    comm, glance = action.comm, action.session.glance

    def merged(a: Any, b: Any) -> Any:
        between_calls()
        return merge(a, b)

    tree = Tree(merged, action.memory // STATES_SHARE, action.name)

    def add(first: int, batch: np.ndarray) -> None:
        keys = selection.keys[first : first + len(batch)]
        for number, (key, value) in enumerate(zip(keys, batch, strict=True), first):
            between_calls()
            tree.push(0, number, leaf(int(key), value.copy()))

    action.stream(selection, add)
    together = action.together()
    gather_tree(comm, tree, together, action.memory // RECEIVED_SHARE, glance)
    together.agree()

    def complete() -> Any:
        with calling(glance):
            total = tree.complete()
            if comm.size == 1:  # what several ranks could not send is refused by one, too
                _check_travels(total)
            return total if finish is None else finish(total)

    return from_rank(comm, 0, action.name, complete)


def _check_travels(state: object) -> None:
    if type(state) is not np.ndarray or state.dtype.hasobject:
        pickle.dumps(state, pickle.HIGHEST_PROTOCOL)
