import numpy as np
from numpy.typing import DTypeLike

MAX_RECORDS: int

def integer_limbs(dtype: DTypeLike) -> tuple[int, int]: ...
def accumulate(
    batch: np.ndarray,
    sums: np.ndarray | None = None,
    squares: np.ndarray | None = None,
    maxima: np.ndarray | None = None,
    minima: np.ndarray | None = None,
) -> None: ...
def accumulate_extrema(
    batch: np.ndarray, maxima: np.ndarray | None = None, minima: np.ndarray | None = None
) -> None: ...
def finish_integers(
    sums: np.ndarray,
    squares: np.ndarray | None,
    count: int,
    is_signed: bool,
    mean: np.ndarray | None = None,
    variance: np.ndarray | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None]: ...
def occupied(first: int, stop: int) -> tuple[list[int], list[int]]: ...
def push_floats(
    batch: np.ndarray,
    start: int,
    first: int,
    left: np.ndarray,
    right: np.ndarray,
    maxima: np.ndarray | None = None,
    minima: np.ndarray | None = None,
) -> None: ...
def exact_levels(dtype: DTypeLike) -> int: ...
def merge_nodes(
    a: np.ndarray, b: np.ndarray, level: int, out: np.ndarray, exact: int = 0
) -> None: ...
def finish_floats(
    node: np.ndarray,
    count: int,
    total: np.ndarray | None = None,
    mean: np.ndarray | None = None,
    variance: np.ndarray | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]: ...
def fold(a: np.ndarray, na: int, b: np.ndarray, nb: int, out: np.ndarray) -> None: ...
