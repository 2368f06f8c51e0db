from collections.abc import Sequence

import numpy as np

def reduce_frames(
    frames: np.ndarray, start: Sequence[int], bins: Sequence[int], out: np.ndarray
) -> None: ...
def find_peaks(surfaces: np.ndarray, spectra: np.ndarray, reach: Sequence[int]) -> np.ndarray: ...
