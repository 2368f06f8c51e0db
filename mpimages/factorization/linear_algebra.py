"""Bases of matrices whose rows are distributed over the ranks, and small decompositions.

LAPACK runs on rank 0 alone, because on another processor its last bits may differ.
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from ..engine.runner import Action
from ..spmd.agreement import from_rank
from ..spmd.collectives import allreduce
from .products import DATA, LIMB, ExactSum, Weights, gram_into, in_order

__all__ = [
    "LEAST",
    "basis",
    "column_means",
    "column_sums",
    "combine",
    "few",
    "gram",
    "gram_of",
    "in_pieces",
    "orientation",
    "small_basis",
]

# Singular values below this part of the largest are not told from zero.
LEAST = 2.0**-20
# The same of a Gramian that balances its columns: what rounding leaves.
ROUNDED = 2.0**-42
# Values that are computed at once.
PIECE = 1 << 14


def _largest(comm: MPI.Intracomm, rows: np.ndarray) -> np.ndarray:
    found = np.zeros(rows.shape[1])
    for piece in _pieces(rows):
        np.maximum(found, np.abs(piece).max(0, initial=0.0), out=found)
    return allreduce(comm, found, MPI.MAX)


def _pieces(rows: np.ndarray) -> list[np.ndarray]:
    step = max(1, PIECE // max(1, rows.shape[1]))
    return [rows[a : a + step] for a in range(0, len(rows), step)]


def gram(action: Action, rows: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """rowsᵀ other of the rows of all ranks, exactly that of their 44-bit roundings. Collective.

    By default `other` is `rows`.
    """
    both = (rows,) if other is None else (rows, other)
    largest = [_largest(action.comm, each) for each in both]
    total = ExactSum((both[0].shape[1], both[-1].shape[1]))
    step = max(1, PIECE // max(1, *(each.shape[1] for each in both)))
    with action.together():
        for a in range(0, len(rows), step):
            limbs = [
                Weights.of(each[a : a + step], DATA, most).limbs()
                for each, most in zip(both, largest, strict=True)
            ]
            gram_into(total, limbs[0], limbs[-1], 2 * LIMB)
    scales = [
        Weights.of(each[:0], DATA, most).scale for each, most in zip(both, largest, strict=True)
    ]
    found: np.ndarray = total.merge(action.comm).values()
    product: np.ndarray = np.ldexp(found, scales[0][:, None] + scales[-1])
    return product


def gram_of(action: Action, weights: Weights) -> np.ndarray:
    """The Gramian of weights of the pixels. Collective."""
    found = gram(action, weights.whole)
    product: np.ndarray = np.ldexp(found, weights.scale[:, None] + weights.scale)
    return product


def column_sums(action: Action, weights: Weights) -> np.ndarray:
    """The sum of each column of weights of the pixels. Collective."""
    sums = gram(action, weights.whole, np.ones((len(weights.whole), 1)))
    scaled: np.ndarray = np.ldexp(sums[:, 0], weights.scale)
    return scaled


def column_means(action: Action, rows: np.ndarray, count: int) -> np.ndarray:
    """The mean of each column of `count` rows, of all ranks. Collective."""
    means: np.ndarray = gram(action, rows, np.ones((len(rows), 1)))[:, 0] / count
    return means


def combine(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """rows @ matrix, written to the first columns of `rows`. Local; the same bits everywhere."""
    columns = matrix.shape[1]
    for piece in _pieces(rows):
        piece[:, :columns] = in_order(piece, matrix)
    return rows[:, :columns]


def in_pieces(rows: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """Set out to rows @ matrix. Local; the same bits everywhere."""
    step = max(1, PIECE // max(1, rows.shape[1]))
    for a in range(0, len(rows), step):
        out[a : a + step] = in_order(rows[a : a + step], matrix)


def basis(action: Action, rows: np.ndarray, least: int) -> Weights:
    """An orthonormal basis of the columns of distributed rows, as weights, in their memory.

    Collective. Columns that depend on others are left out.

    Raises
    ------
    ValueError
        Where fewer than `least` are left.
    """
    found = gram(action, rows)
    mixing = from_rank(action.comm, 0, action.name, _whitening, found)
    if mixing.shape[1] < least:
        raise ValueError(few(action.name, mixing.shape[1], least))
    columns = combine(rows, mixing)
    largest = _largest(action.comm, columns)
    return Weights.of(columns, LIMB, largest, in_place=True)


def few(name: str, found: int, least: int) -> str:
    """The message where data have fewer components than are asked for."""
    return f"{name}: k={least}, but only {found} singular values exceed 1e-6 of the largest; " + (
        f"take k={found}"
        if found
        else "the data are constant to 44 bits; subtract their mean from large integers first"
    )


def _whitening(found: np.ndarray) -> np.ndarray:
    """The matrix that makes columns with this Gramian orthonormal."""
    lengths = np.sqrt(np.diag(found))
    kept = np.flatnonzero(lengths > 0)
    inverse = 1 / lengths[kept]
    values, vectors = np.linalg.eigh(found[np.ix_(kept, kept)] * np.outer(inverse, inverse))
    chosen = values > ROUNDED * values.max(initial=0.0)
    mixing = np.zeros((len(found), int(chosen.sum())))
    mixing[kept] = (inverse[:, None] * vectors[:, chosen] / np.sqrt(values[chosen]))[:, ::1]
    return mixing


def small_basis(action: Action, matrix: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the columns of a matrix that every rank has. Collective."""
    found: np.ndarray = from_rank(action.comm, 0, action.name, lambda: np.linalg.qr(matrix)[0])
    return found


def orientation(vectors: np.ndarray) -> np.ndarray:
    """+1 or -1 for each row: with it the largest component is positive. Local."""
    largest = np.abs(vectors).argmax(1)
    return np.where(np.take_along_axis(vectors, largest[:, None], 1)[:, 0] < 0, -1.0, 1.0)
