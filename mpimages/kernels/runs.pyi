import numpy as np

TRUNCATED: int
CHANGED: int
SYSTEM: int
KEEP: int
OPEN: int

class Paths:
    def __init__(self, common: bytes, tails: bytes, ends: np.ndarray) -> None: ...
    def __len__(self) -> int: ...

def read_runs(
    paths: Paths,
    path: np.ndarray,
    first: np.ndarray,
    stride: np.ndarray,
    size: np.ndarray,
    modified: np.ndarray | None,
    skip: int,
    swap: bool,
    out: np.ndarray,
    kept: np.ndarray | None = None,
) -> tuple[int, int, int] | None: ...
def begin_writeback(descriptor: int, offset: int, size: int) -> None: ...
def swap_bytes(array: np.ndarray) -> None: ...
