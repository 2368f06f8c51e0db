import numpy as np

def correlate(
    array: np.ndarray, weights: np.ndarray, out: np.ndarray, divisor: float = 1.0
) -> None: ...
