"""suite2p's registered movies: ``data.bin``, int16, and its ``ops.npy`` or ``db.npy`` beside it.

The description is a pickled dict. It is never unpickled: its opcodes are looked through for plain
values that follow the keys of interest, and nothing is executed.
"""

from __future__ import annotations

import os
import pickletools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

from ...errors import FormatError
from ..byte_ranges import LARGEST_CONF, open_file
from ..options import Options
from ..page_order import PageOrder
from .beside import movie_metadata
from .description import Description

# Of what types their values are: texts may be equal to the keys.
KEYS: dict[str, tuple[type, ...]] = {
    "Ly": (int,),
    "Lx": (int,),
    "nframes": (int,),
    "fs": (int, float),
    "suite2p_version": (str,),
}
STORED = np.dtype("<i2")
# Opcodes that keep the value on top of the stack under a number, and those that take it again.
_KEEPS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_TAKES = {"GET", "BINGET", "LONG_BINGET"}
# Those that name a class or function.
_NAMES = {"GLOBAL", "STACK_GLOBAL"}
# The code of a dtype of numbers, as a pickle has it.
_CODE = re.compile(r"[iu][1248]|f[248]")
# Those that end a value in a dict or list.
_ENDS = {"SETITEM", "SETITEMS", "APPEND", "APPENDS"}
# Those that leave nothing on the stack, and lie between keys and values.
_IDLE = {"FRAME", "PROTO", "MARK"}


def describe(path: str, description: str, options: Options) -> Description:
    """What the description says of a movie. See `Description`."""
    told = read_values(description, KEYS)
    rows, columns = told.get("Ly"), told.get("Lx")
    dims: tuple[int, ...] = (0, 0)
    if options.dims is None and options.shape is None:
        if not (isinstance(rows, int) and isinstance(columns, int)) or min(rows, columns) < 1:
            raise FormatError(
                f"{description}: does not say Ly and Lx, the rows and columns of {path}, as plain "
                "numbers; give shape=(rows, columns)"
            )
        dims = (rows, columns)
    frames, rate = told.get("nframes"), told.get("fs")
    found = {"program": f"suite2p {told.get('suite2p_version', '')}".strip()}
    return Description(
        dims,
        STORED,
        order=PageOrder(planes=1),
        frames=frames if isinstance(frames, int) and frames > 0 else 0,
        metadata=movie_metadata(os.path.dirname(os.path.dirname(path)), 2),
        planeInterval=1 / rate if isinstance(rate, (int, float)) and 1e-9 < rate < 1e9 else 0.0,
        found=found,
    )


def read_values(path: str, keys: Mapping[str, tuple[type, ...]]) -> dict[str, int | float | str]:
    """The plain values of some keys of a dict that ``numpy.save`` has pickled.

    Those of other types are left out, and those that are said twice and differently.

    Parameters
    ----------
    path : str
    keys : mapping
        Of which types the value of each key may be.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    fd, size = open_file(path)
    with os.fdopen(fd, "rb") as file:
        if size > LARGEST_CONF:
            raise FormatError(f"{path}: {size} bytes are too many for a description")
        try:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("it is not of version 1")
            _, _, dtype = np.lib.format.read_array_header_1_0(file)
            if not dtype.hasobject:
                raise ValueError("it is an array of numbers")
            values = defaultdict(set)
            for key, value in _pairs(file.read(), keys):
                values[key].add(value)
        except Exception as error:  # of any type: the header is a literal, and the rest opcodes
            raise FormatError(
                f"{path}: damaged, or not suite2p's: {error}; give shape= and dtype="
            ) from None
    return {key: next(iter(found)) for key, found in values.items() if len(found) == 1}


def _pairs(
    content: bytes, keys: Mapping[str, tuple[type, ...]]
) -> Iterator[tuple[str, int | float | str]]:
    """Yield each key with the plain value, or the NumPy scalar, that follows it."""
    kept: dict[int, object] = {}
    last: object = None
    # A NumPy scalar is made of a dtype, which is made of its code, and of bytes.
    dtype: np.dtype | None = None
    made: object = None
    key, scalar, text = "", False, ""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in _KEEPS:
            kept[len(kept) if argument is None else int(str(argument))] = last
            continue
        if opcode.name in _IDLE and not scalar:
            continue
        plain = isinstance(argument, (int, float, str, bytes)) and not isinstance(argument, bool)
        if opcode.name in _TAKES:
            last = kept.get(int(str(argument)))
        elif opcode.name in _NAMES:
            last = (str(argument).split()[-1] if opcode.name == "GLOBAL" else text,)
            made = None
        elif opcode.name == "REDUCE":
            last = made
        else:
            last = argument if plain else None
        if isinstance(last, np.dtype):
            dtype = last
        elif isinstance(last, str) and _CODE.fullmatch(last):
            made = np.dtype(f"<{last}")
        # The bytes of a scalar come last; protocol 2 has them as text and its encoding.
        ended = isinstance(last, bytes) or last == "latin1"
        if ended:
            made = _number(last if isinstance(last, bytes) else text.encode("latin1"), dtype)
        text = last if isinstance(last, str) else text
        if isinstance(last, str) and last in keys:
            key, scalar, dtype, made = last, False, None, None
        elif key and scalar:
            if isinstance(last, (int, float)) and opcode.name == "REDUCE":
                if isinstance(last, keys[key]):
                    yield key, last
                key = ""
            elif opcode.name in _ENDS or (ended and made is None) or _is_other(last):
                key = ""
        elif key:
            # A scalar begins with a global: by its name, by two texts, or as one that is kept.
            text_of_name = isinstance(last, str) and last.startswith("numpy")
            scalar = text_of_name or (isinstance(last, tuple) and not _is_other(last))
            if not scalar and isinstance(last, (int, float, str)) and isinstance(last, keys[key]):
                yield key, last
            key = key if scalar else ""


def _is_other(name: object) -> bool:
    """Whether it names what makes no NumPy scalar, such as an array."""
    return isinstance(name, tuple) and name[0] not in ("scalar", "dtype", "encode")


def _number(content: bytes, dtype: np.dtype | None) -> int | float | None:
    """The value of a NumPy scalar; None where the bytes are another object's."""
    if dtype is None or len(content) != dtype.itemsize:
        return None
    number: int | float = np.frombuffer(content, dtype)[0].item()
    return number
