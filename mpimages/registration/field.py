"""A smooth field of shifts from the shifts of blocks. Local.

The shift that is found for a block is not that of its centre: it is the mean of the field over the
block, weighted by the block's window and by how much there is to see. With A the matrix of these
means, of a field that is bilinear between nodes, the field u is the one that minimises

    sum over blocks of (A u - d)^2 + smoothing * (bending of u)

where the bending is the sum of squared second differences, and of mixed ones, as in a plate.
The solution is linear in d: one matrix, made once.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Field"]

# The penalty on bending for smoothing = 1 and nodes that are so many pixels of the image apart. Of
# nodes that are half as far apart the second differences of a field are a quarter.
BENDING, DISTANCE = 0.02, 32.0


class Field:
    """The matrix that turns shifts of blocks into shifts at nodes.

    Parameters
    ----------
    rows, columns : (b0, n0) and (b1, n1) float64 ndarray
        The window of each row of blocks over the picture's rows, and of each column of blocks.
    detail : (n0, n1) float64 ndarray
        How much there is to see around each pixel.
    nodes : (float64 ndarray, float64 ndarray)
        The nodes along each axis, in pixels of the picture.
    distance : float
        Pixels of the image between nodes.
    smoothing : float
    """

    def __init__(
        self,
        rows: np.ndarray,
        columns: np.ndarray,
        detail: np.ndarray,
        nodes: tuple[np.ndarray, np.ndarray],
        distance: float,
        smoothing: float,
    ) -> None:
        down, across = (_between(n, at) for n, at in zip(detail.shape, nodes, strict=True))
        # Where nothing is seen at all every pixel counts alike.
        detail = detail + 1e-3 * max(float(detail.mean()), 1e-30)
        # (b0, b1, g0, g1): sums over the pixels, one axis after the other.
        means = np.einsum("ax,xg,xy->agy", rows, down, detail, optimize=True)
        means = np.einsum("agy,by,yh->abgh", means, columns, across, optimize=True)
        means /= means.sum(axis=(2, 3), keepdims=True)
        a = means.reshape(len(rows) * len(columns), -1)
        penalty = BENDING * smoothing * (DISTANCE / distance) ** 4
        least = a.T @ a + penalty * _bending(*(len(at) for at in nodes))
        least += 1e-9 * np.eye(len(least))
        self.matrix = np.linalg.solve(least, a.T)

    def at_nodes(self, shifts: np.ndarray) -> np.ndarray:
        """The shifts at nodes, (k, nodes, d), of those of blocks, (k, blocks, d).

        Summed block by block: a product of matrices has other last bits for other k.
        """
        out = np.zeros((len(shifts), len(self.matrix), shifts.shape[2]))
        for block, weights in enumerate(self.matrix.T):
            out += weights[None, :, None] * shifts[:, block][:, None, :]
        return out


def _between(n: int, nodes: np.ndarray) -> np.ndarray:
    """(n, nodes): the weights of linear interpolation at the pixels, constant beyond the ends."""
    at = np.arange(float(n))
    return np.stack([np.interp(at, nodes, row) for row in np.eye(len(nodes))], axis=1)


def _bending(rows: int, columns: int) -> np.ndarray:
    """The matrix of the sum of squared second differences, and twice the mixed ones."""
    whole = (np.eye(rows), np.eye(columns))
    first, second = ([np.diff(one, order, axis=0) for one in whole] for order in (1, 2))
    parts = ((second[0], whole[1], 1.0), (whole[0], second[1], 1.0), (first[0], first[1], 2.0))
    return sum(
        factor * np.kron(a.T @ a, b.T @ b) for a, b, factor in parts if len(a) and len(b)
    ) + np.zeros((rows * columns,) * 2)
