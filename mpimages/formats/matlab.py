"""MATLAB's MAT-file of version 7.3: HDF5 behind a block of 512 bytes, and attributes. Local."""

from __future__ import annotations

import numpy as np

from .output_names import HDF5_SIGNATURE, MATLAB_BLOCK

__all__ = [
    "CLASS",
    "HEAD_BYTES",
    "is_variable_name",
    "matlab_class",
    "starts_as_hdf5",
    "starts_as_ours",
]

# The attribute of a dataset by which MATLAB knows the class of a variable.
CLASS = "MATLAB_class"
LONGEST_NAME = 63
# What no variable may be called.
KEYWORDS = {
    *("break", "case", "catch", "classdef", "continue", "else", "elseif", "end", "for", "function"),
    *("global", "if", "otherwise", "parfor", "persistent", "return", "spmd", "switch", "try"),
    "while",
}
# What tells whether a file is HDF5, alone or behind a block as MATLAB has one.
HEAD_BYTES = len(MATLAB_BLOCK) + len(HDF5_SIGNATURE)


def matlab_class(dtype: np.dtype) -> str | None:
    """The name of MATLAB's class of numbers of this dtype; None where it has none."""
    if dtype.kind in "iu":
        return dtype.newbyteorder("=").name
    return {4: "single", 8: "double"}.get(dtype.itemsize) if dtype.kind == "f" else None


def is_variable_name(name: str) -> bool:
    """Whether a variable of MATLAB may be called so."""
    return (
        name.isascii()
        and name.isidentifier()
        and name[0] != "_"
        and len(name) <= LONGEST_NAME
        and name not in KEYWORDS
    )


def starts_as_ours(head: bytes) -> bool:
    """Whether a file that begins so is HDF5, alone or behind the block that mpimages writes."""
    return head.removeprefix(MATLAB_BLOCK).startswith(HDF5_SIGNATURE)


def starts_as_hdf5(head: bytes) -> bool:
    """Whether a file that begins so is HDF5, alone or behind any block as long as MATLAB's."""
    size = len(MATLAB_BLOCK)
    return head.startswith(HDF5_SIGNATURE) or head[size:].startswith(HDF5_SIGNATURE)
