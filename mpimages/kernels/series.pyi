from collections.abc import Sequence

import numpy as np

def percentile_rows(block: np.ndarray, q: float | Sequence[float], out: np.ndarray) -> None: ...
def running_percentile_rows(
    block: np.ndarray, window: int, q: float, out: np.ndarray
) -> None: ...
def normalize_rows(
    block: np.ndarray, baseline: np.ndarray, offset: float, out: np.ndarray
) -> None: ...
