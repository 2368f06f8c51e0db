import numpy as np

def shift(
    frames: np.ndarray, shifts: np.ndarray, out: np.ndarray, order: int, fill: float | None
) -> None: ...
def warp(
    frames: np.ndarray,
    shifts: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    out: np.ndarray,
    order: int,
    fill: float | None,
) -> None: ...
