"""The singular values and vectors of a collection, by its Gramian or by random projections.

Random projections: N. Halko, P. G. Martinsson, J. A. Tropp, "Finding structure with randomness:
probabilistic algorithms for constructing approximate matrix decompositions", SIAM Rev. 53, 2011,
algorithms 4.4 and 5.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..engine.runner import Action
from ..engine.selection import Settled
from ..spmd import memory_limit
from ..spmd.agreement import from_rank
from .linear_algebra import (
    LEAST,
    basis,
    column_means,
    column_sums,
    combine,
    few,
    gram,
    gram_of,
    orientation,
    small_basis,
)
from .matrix import PixelMatrix
from .products import ExactSum, Weights, data_bits, gram_into, signs, split, times

__all__ = ["Decomposition", "decompose"]

# Columns of a random projection beyond those that are asked for.
MORE = 10
# Series of fewer values than this are decomposed by their Gramian, as in Thunder.
DIRECT = 750
# Values of a block that are made float64 at once.
PIECE = 1 << 17


@dataclass
class Decomposition:
    """The first k singular values and vectors of pixels × times.

    Attributes
    ----------
    s : (k,) ndarray
        Singular values, descending.
    v : (k, T) ndarray
        Right singular vectors.
    mean : (T,) ndarray
        What was taken off each series: zeros, or the mean of all series.
    u : (own pixels, k) ndarray, or None
        Left singular vectors, where they were found on the way.
    """

    s: np.ndarray
    v: np.ndarray
    mean: np.ndarray
    u: np.ndarray | None = None


def decompose(
    action: Action,
    records: Settled,
    images: bool,
    k: int,
    method: str,
    power: int,
    seed: int,
    center: bool,
) -> Decomposition:
    """Decompose a collection. Collective.

    Raises
    ------
    ValueError
        Where k exceeds the number of pixels or times, or of singular values that are not 0; for
        NaN and infinities.
    MemoryError
        Where the bases do not fit into the budget.
    """
    matrix = PixelMatrix(action, records, images)
    if k > min(matrix.shape):
        raise ValueError(
            f"{action.name}: k={k}, but the data have {matrix.shape[0]} pixels and "
            f"{matrix.shape[1]} times; k must not exceed either"
        )
    action.together((k, method, power, seed, center)).agree()
    if method == "auto":
        method = "direct" if not images and matrix.shape[1] < DIRECT else "randomized"
    if method == "direct":
        return _direct(matrix, k, center)
    columns = k + MORE  # of few pixels or times, too: a small matrix of signs may be singular
    matrix.check_fits(columns)
    find = _of_images if images else _of_series
    return find(matrix, k, columns, power, seed, center)


# -- by the Gramian ------------------------------------------------------------------------------


def _direct(matrix: PixelMatrix, k: int, center: bool) -> Decomposition:
    action, (count, length) = matrix.action, matrix.shape
    memory_limit.check_fits(
        8 * 12 * length**2,
        action.memory,
        f"{action.name} by a Gramian of {length} × {length}",
        "take method='randomized', or give the context more with memory=",
    )
    matrix.measure()
    total, sums = exact_gram(matrix, count)
    found: tuple[np.ndarray, np.ndarray, np.ndarray] = from_rank(
        action.comm,
        0,
        action.name,
        _of_gram,
        total,
        sums,
        count,
        matrix.unit,
        k,
        center,
        action.name,
    )
    return Decomposition(*found)


def exact_gram(matrix: PixelMatrix, count: int) -> tuple[ExactSum, ExactSum]:
    """The exact Gramian of the series in units of their last bits, and their sum. Collective."""
    length, bits = matrix.shape[1], data_bits(matrix.records.dtype)
    total, sums = ExactSum((length, length)), ExactSum((1, length))

    def add(_: int, batch: np.ndarray) -> None:
        step = max(1, PIECE // max(1, length), length)
        for a in range(0, len(batch), step):
            limbs = split(batch[a : a + step], matrix.unit)
            gram_into(total, limbs, limbs, 2 * bits)
            for limb, shift in limbs:
                sums.add(limb.sum(0, keepdims=True), shift)

    matrix.action.stream(matrix.records, add, "gramian")
    return total.merge(matrix.comm), sums.merge(matrix.comm)


def _of_gram(
    total: ExactSum, sums: ExactSum, count: int, unit: int, k: int, center: bool, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular values, right vectors and the mean. Local."""
    found, mean = total.values(), np.zeros(total.words.shape[1])
    if center:
        whole = sums.integers(0)
        mean = np.array([np.ldexp(float(value) / count, unit) for value in whole])
        for i in range(len(found)):  # in integers: nothing cancels
            row = total.integers(i)
            found[i, i:] = [
                (count * a - whole[i] * b) / count for a, b in zip(row[i:], whole[i:], strict=True)
            ]
            found[i:, i] = found[i, i:]
    values, vectors = np.linalg.eigh(found)
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    s = np.ldexp(np.sqrt(np.maximum(values, 0)), unit)
    _check_rank(s, k, name)
    v = np.ascontiguousarray(vectors.T)
    v *= orientation(v)[:, None]
    return s, v, mean


def _check_rank(s: np.ndarray, k: int, name: str) -> None:
    enough = int((s > LEAST * s.max(initial=0.0)).sum())
    if enough < k:
        raise ValueError(few(name, enough, k))


# -- by random projections -----------------------------------------------------------------------


def _of_series(
    matrix: PixelMatrix, k: int, columns: int, power: int, seed: int, center: bool
) -> Decomposition:
    """The range is found among the pixels. u = (A - mean) v / s takes a pass of its own."""
    action, count = matrix.action, matrix.shape[0]
    rows, _ = matrix.sketch(columns, seed)
    if center:
        rows -= column_means(action, rows, count)
    weights = basis(action, rows, k)
    del rows  # it is the weights' memory
    for _ in range(power):
        projected, mean = _to_times(matrix, weights, center)
        del weights
        weights = basis(action, _to_pixels(matrix, small_basis(action, projected), mean)[0], k)
    projected, mean = _to_times(matrix, weights, center)
    inner = gram_of(action, weights)
    found: tuple[np.ndarray, np.ndarray] = from_rank(
        action.comm, 0, action.name, _of_projection, projected, inner, k, action.name
    )
    return Decomposition(*found, mean)


def _of_images(
    matrix: PixelMatrix, k: int, columns: int, power: int, seed: int, center: bool
) -> Decomposition:
    """The range is found among the times; the products with the pixels are u times s."""
    action, count = matrix.action, matrix.shape[0]
    projected, sums = matrix.sketch(columns, seed)
    mean = sums / count if center else np.zeros(len(sums))
    if center:
        projected -= np.outer(mean, signs_sum(seed, count, columns))
    for _ in range(power):
        rows, _ = _to_pixels(matrix, small_basis(action, projected), mean)
        weights = basis(action, rows, k)
        del rows
        projected, _ = _to_times(matrix, weights, center)
        del weights
    rows, rounded = _to_pixels(matrix, small_basis(action, projected), mean)
    s, v, mixing = from_rank(
        action.comm, 0, action.name, _of_range, gram(action, rows), rounded.matrix, k, action.name
    )
    u = rows
    with action.together():
        u = combine(rows, mixing).copy()
    return Decomposition(s, v, mean, u)


def _to_times(matrix: PixelMatrix, weights: Weights, center: bool) -> tuple[np.ndarray, np.ndarray]:
    """(A - mean)ᵀ weights, and the mean. Collective."""
    projected, sums = matrix.to_times(weights)
    if not center:
        return projected, np.zeros(len(sums))
    mean = sums / matrix.shape[0]
    projected -= np.outer(mean, column_sums(matrix.action, weights))
    return projected, mean


def _to_pixels(
    matrix: PixelMatrix, of_times: np.ndarray, mean: np.ndarray
) -> tuple[np.ndarray, Weights]:
    """(A - mean) times a matrix, and to what that was rounded. Collective."""
    rows, rounded = matrix.to_pixels(of_times)
    if mean.any():
        rows -= times(mean[None], rounded)
    return rows, rounded


def _of_projection(
    projected: np.ndarray, inner: np.ndarray, k: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and right vectors of what a basis with this Gramian holds. Local."""
    lower = np.linalg.cholesky(inner)
    vectors, s, _ = np.linalg.svd(np.linalg.solve(lower, projected.T).T, full_matrices=False)
    _check_rank(s[:k], k, name)
    v = np.ascontiguousarray(vectors.T[:k])
    v *= orientation(v)[:, None]
    return s[:k], v


def signs_sum(seed: int, count: int, columns: int) -> np.ndarray:
    """The sum over the rows of `signs`: exact. Local."""
    total, step = np.zeros(columns), max(1, PIECE // columns)
    for a in range(0, count, step):
        total += signs(seed, a, min(a + step, count), columns).sum(0)
    return total


def _of_range(
    found: np.ndarray, range_: np.ndarray, k: int, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular values, right vectors, and what makes the left ones of the products. Local."""
    inverse = np.linalg.inv(np.linalg.cholesky(range_.T @ range_))
    values, vectors = np.linalg.eigh(inverse @ found @ inverse.T)
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    s = np.sqrt(np.maximum(values, 0))
    _check_rank(s, k, name)
    mixing = inverse.T @ vectors
    v = np.ascontiguousarray((range_ @ mixing).T)
    sign = orientation(v)
    return s, v * sign[:, None], mixing * (sign / s)
