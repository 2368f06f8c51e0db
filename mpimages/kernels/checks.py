"""What every kernel asks of its arrays, and what a status of the C code becomes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["apart", "code_of", "is_integer", "optional_output", "output", "raise_for", "rows"]

# In the order of enum mpim_dtype.
_DTYPES = tuple(
    np.dtype(name)
    for name in (
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float32",
        "float64",
    )
)
_CODES = {dtype: code for code, dtype in enumerate(_DTYPES)}

_OK, _NO_MEMORY, _OVERFLOW, _BAD_TYPE = range(4)


def code_of(name: str, dtype: np.dtype) -> int:
    """The C code's number for a dtype; TypeError for one that no kernel has."""
    if dtype not in _CODES:
        if not dtype.isnative and dtype.newbyteorder("=") in _CODES:
            raise TypeError(f"{name} is byte-swapped ({dtype.str}); convert it to native order")
        raise TypeError(f"{name} has dtype {dtype}; kernels take u/int8-64, float32 and float64")
    return _CODES[dtype]


def is_integer(dtype: np.dtype) -> bool:
    """Whether the dtype is one of integers, signed or not."""
    return dtype.kind in "iu"


def _array(name: str, array: object, ndim: int) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, not {type(array).__name__}")
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes, its shape is {array.shape}")
    return array


def rows(name: str, array: object) -> np.ndarray:
    """An input of any strides between its rows, whose rows are contiguous."""
    checked = _array(name, array, 2)
    _contiguous_last(name, checked)
    return checked


def _contiguous_last(name: str, array: np.ndarray) -> None:
    if array.shape[-1] > 1 and array.size and array.strides[-1] != array.itemsize:
        raise ValueError(
            f"{name} must be contiguous along its last axis: shape {array.shape}, "
            f"strides {array.strides}"
        )


def output(
    name: str, array: object, shape: tuple[int, ...], dtype: np.dtype | type | None
) -> np.ndarray:
    """An output of exactly this shape and dtype (None: any), with contiguous rows."""
    checked = _array(name, array, len(shape))
    if checked.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {checked.shape}")
    if dtype is not None and checked.dtype != dtype:
        raise TypeError(f"{name} must have dtype {np.dtype(dtype)}, not {checked.dtype}")
    _contiguous_last(name, checked)
    if not checked.flags.writeable:
        raise ValueError(f"{name} is read-only")
    if not checked.flags.aligned:
        raise ValueError(f"{name} is not aligned to its items")
    if any(
        n > 1 and abs(step) < width
        for n, step, width in zip(
            checked.shape[:-1], checked.strides[:-1], _extents(checked), strict=True
        )
    ):
        raise ValueError(f"{name} overlaps itself: strides {checked.strides}")
    return checked


def optional_output(
    name: str, array: object, shape: tuple[int, ...], dtype: np.dtype | type
) -> np.ndarray | None:
    """An output as for `output`, or None where it is not wanted."""
    return None if array is None else output(name, array, shape, dtype)


def _extents(array: np.ndarray) -> list[int]:
    """For each axis but the last: the bytes that one of its items spans, or 0 without items."""
    if array.size == 0 or array.ndim == 1:
        return [0] * (array.ndim - 1)
    spans = [array.shape[-1] * array.itemsize]
    for n, step in zip(array.shape[-2:0:-1], array.strides[-2:0:-1], strict=True):
        spans.append((n - 1) * abs(step) + spans[-1])
    return spans[::-1]


def apart(outputs: dict[str, np.ndarray | None], inputs: dict[str, np.ndarray | None]) -> None:
    """Raise ValueError where an output shares memory with an input or another output."""
    written = [(name, array) for name, array in outputs.items() if array is not None]
    read = [(name, array) for name, array in inputs.items() if array is not None]
    for i, (name, array) in enumerate(written):
        _apart(name, array, read)
        _apart(name, array, written[i + 1 :])


def _apart(name: str, array: np.ndarray, others: Iterable[tuple[str, np.ndarray]]) -> None:
    for other_name, other in others:
        if np.may_share_memory(array, other) and np.shares_memory(array, other):
            raise ValueError(f"{name} and {other_name} overlap in memory")


def raise_for(status: int, what: str) -> None:
    """Turn the status of a C call into the exception it stands for."""
    if status == _OK:
        return
    if status == _NO_MEMORY:
        raise MemoryError(f"no memory for the scratch space of {what}")
    if status == _OVERFLOW:
        raise OverflowError(f"{what} does not fit in 64 bits")
    if status == _BAD_TYPE:
        raise TypeError(f"no such dtype for {what}")
    raise SystemError(f"unknown status {status} from {what}")
