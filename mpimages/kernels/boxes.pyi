from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

def limbs(dtype: DTypeLike, dims: Sequence[int], reach: Sequence[int], count: int) -> int: ...
def add(
    batch: np.ndarray, dims: Sequence[int], reach: Sequence[int], first_row: int, sums: np.ndarray
) -> None: ...
def correlation(sums: np.ndarray, count: int, out: np.ndarray) -> None: ...
