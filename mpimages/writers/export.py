"""Arrays that all ranks have, as one NPY or text file."""

from __future__ import annotations

import io
import os
from functools import partial

import numpy as np
from mpi4py import MPI

from ..core.arguments import check_choice, check_flag, check_record_dtype, check_text
from ..core.text import as_comparable, quote
from ..errors import FormatError
from ..spmd.agreement import Together
from .output.plain import check_path, save_value

__all__ = ["export"]

FORMATS = ("npy", "txt")
NO_MATLAB = (
    "outputFormat 'mat': MATLAB files are not written: on rank 0, scipy.io.savemat(name, "
    "{'x': data}) does; of a collection Images.saveAsMatlab does"
)


def export(
    comm: MPI.Intracomm, data: object, filename: object, form: object, overwrite: object
) -> None:
    """See `ThunderContext.export`. Collective."""
    action = "ThunderContext.export"
    path = check_path(filename)
    kind = _kind(path, form)
    check_flag(overwrite, "overwrite")
    array = np.empty(0)
    with Together(comm, action):
        array = _array(data, kind)
    given = as_comparable((path, kind, overwrite, array.shape, array.dtype.str))
    with Together(comm, action, given):
        if comm.rank == 0:
            load, what = (
                (_check_npy, "file of an array")
                if kind == "npy"
                else (_check_text, "text of numbers")
            )
            save_value(path, _content(array, kind), overwrite, load, what)


def _kind(path: str, form: object) -> str:
    told = (
        os.path.splitext(path)[1][1:].lower() if form is None else check_text(form, "outputFormat")
    )
    if told == "mat":
        raise ValueError(NO_MATLAB)
    if form is None and told not in FORMATS:
        raise ValueError(
            f"the name must end in .npy or .txt, or outputFormat= say it: {quote(path)}"
        )
    return check_choice(told, "outputFormat", FORMATS)


def _array(data: object, kind: str) -> np.ndarray:
    if hasattr(data, "session"):
        raise TypeError(
            f"data is {type(data).__name__}, of which each rank has a part: give its toArray(), or "
            "use its methods saveAs…"
        )
    try:
        array: np.ndarray = np.asarray(data)
    except MemoryError:
        raise
    except Exception as error:  # of any type: it is the argument that is asked for its items
        raise TypeError(f"data: no array can be made of {quote(data)}: {error}") from None
    check_record_dtype(array.dtype if array.dtype != np.bool_ else np.dtype(np.uint8), "data")
    if kind == "txt" and array.ndim > 2:
        raise ValueError(f"text has at most two dimensions, got {array.shape}: export it as .npy")
    return array


def _content(array: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "npy":
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        np.lib.format.write_array(file, little, version=(1, 0), allow_pickle=False)
        return file.getvalue()
    form = "%d" if array.dtype.kind in "iub" else "%.17g"
    np.savetxt(file, np.atleast_1d(array), fmt=form)
    return file.getvalue()


def _check_npy(path: str) -> None:
    from ..readers.flat.npy import read_head

    read_head(path)


def _check_text(path: str) -> None:
    """Raise FormatError unless a file begins with a line of numbers."""
    with open(path, "rb") as file:
        line = next(filter(bytes.strip, iter(partial(file.readline, 1 << 20), b"")), b"")
    try:
        [float(word) for word in line.split()]
    except ValueError:
        raise FormatError(f"{path}: is no text of numbers") from None
