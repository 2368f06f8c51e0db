"""What no argument may be: values of every wrong kind, and what each parameter must refuse."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np


class Rude:
    """Refuses to be shown, counted, compared, hashed, or made an array, a path or a number."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __array__ = __index__ = __int__ = __float__ = _refuse
    __bool__ = __len__ = __iter__ = __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __hash__ = None  # type: ignore[assignment]


class Shown:
    """Looks different on every rank, and each time."""

    def __repr__(self) -> str:
        return f"<Shown at {id(object()):#x}>"


RUDE, ODD = Rude(), object()
NAN, INF = math.nan, math.inf

# Of no use where a number, a text or a sequence is needed.
ALIEN: list[Any] = [RUDE, ODD, {}, 1j, Shown]

INTEGER = [
    *ALIEN,
    "1",
    b"1",
    "",
    1.5,
    NAN,
    INF,
    True,
    np.bool_(1),
    [],
    np.float64(2),
    "1\0",
    np.array([1, 2]),
]
COUNT = [*INTEGER, 0, -1, np.int64(-3)]
INDEX = [*INTEGER, -1, -(2**70)]
NUMBER = [*ALIEN, "1", b"1", "", [], np.array([1.0, 2.0]), "1\0"]
FINITE = [*NUMBER, True, NAN, INF, -INF]
PERCENT = [*FINITE, -1, 100.5, np.float64(-0.1), 2**70]
FLAG = [*ALIEN, "no", "", b"1", 2, 1.0, NAN, [], np.array([True, False])]
TEXT = [*ALIEN, 3, 1.5, True, b"tif", "", "a\0b", [], NAN, np.int64(3), ["x"]]
CHOICE = [*TEXT, "nonsense"]
FUNCTION = [*ALIEN[:-1], 3, "print", b"", None, [], NAN, True, np.zeros(3)]
SIZE = [
    *ALIEN,
    0,
    -1,
    1.5,
    NAN,
    True,
    "",
    "x",
    "4 parsecs",
    "-1GB",
    "1\0GB",
    b"1GB",
    [],
    2**70,
    "1e400",
    "9" * 5000,
    "9" * 400 + "GB",
]
DTYPE = [
    RUDE,
    ODD,
    {},
    "nonsense",
    "",
    "i4\0",
    3,
    NAN,
    True,
    [],
    "O",
    "U3",
    "c8",
    "V8",
    "M8[s]",
    object,
    complex,
    b"x",
    np.array(1),
    "i4,f4",
    "f16",
]
SHAPE = [
    RUDE,
    ODD,
    3,
    NAN,
    True,
    "44",
    b"44",
    "",
    (),
    [],
    (0, 4),
    (-1, 4),
    (1.5, 4),
    (NAN, 4),
    (True, 4),
    ("4", 4),
    ((4,), 4),
    (1, 2, 3, 4, 5),
    {},
    (RUDE, 4),
    (None, 4),
]
DIMS = [*SHAPE, (4,)]
PATH = [*ALIEN, None, 3, 1.5, NAN, True, "", "a\0b", [], ()]
ARRAY = [
    RUDE,
    ODD,
    {},
    3,
    NAN,
    "x",
    b"x",
    [],
    [[1], [1, 2]],
    1j,
    np.zeros((2, 3), "c8"),
    np.zeros((2, 3), "O"),
    np.zeros((2, 3), "M8[s]"),
    np.zeros((2, 3), "i4,f4"),
    np.zeros((2, 0)),
    np.zeros((0, 3, 4)),
    np.zeros(3),
    np.zeros((1,) * 6),
    np.zeros((2, 3), "longdouble"),
    [["a", "b"]],
]
LABELS = [
    RUDE,
    ODD,
    3,
    NAN,
    True,
    "123456",
    b"123456",
    {},
    [],
    [0.5] * 6,
    [NAN] * 6,
    [2**70] * 6,
    [None] * 6,
    [True] * 6,
    np.zeros((2, 3)),
    [0, 1],
    [[0]] * 6,
    [RUDE] * 6,
]
OUTPUT = [
    *ALIEN,
    None,
    3,
    NAN,
    True,
    "",
    "a\0b",
    b"out",
    [],
    Path("no", "such", "parent"),
    "/",
    ".",
    "x" * 300,
]
