"""Every public call with arguments that work, and for each parameter what it must refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpimages import RegistrationModel

from . import dumbvalues as d

Wrong = tuple[str, list[Any]]
NAN, INF = math.nan, math.inf

# What any call may raise for an argument: nothing else is documented.
DOCUMENTED = (TypeError, ValueError, KeyError, OverflowError, MemoryError, OSError)


@dataclass(frozen=True)
class Call:
    """A call that works, and how each of its parameters goes wrong.

    Parameters
    ----------
    on : str
        The fixture's object that has the method.
    given : dict
        Arguments with which it works; ``OUT`` stands for a new path, ``RECORDING`` for the
        images on disk, ``SERIES`` for a binary series.
    wrong : dict
        Parameter -> (a word that the message must have, values).
    """

    on: str
    method: str
    given: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, Wrong] = field(default_factory=dict)


OUT, RECORDING, SERIES = "<out>", "<recording>", "<series>"


def wrong(**kinds: Any) -> dict[str, Wrong]:
    """Parameters whose messages name them, unless a pair says by which word."""
    return {name: kind if isinstance(kind, tuple) else (name, kind) for name, kind in kinds.items()}


AXIS = wrong(axis=[*d.INTEGER, 3, -4, 2**70])
SAVING = {
    "overwrite": ("overwrite", d.FLAG),
    "resume": ("resume", d.FLAG),
    "memory": ("memory|size", d.SIZE),
}
PATH = {"path": ("path|directory|no such|name|'/'|[.]: |too long|/", d.OUTPUT)}
CHUNKS = [
    d.RUDE,
    d.ODD,
    "44",
    b"4",
    NAN,
    3,
    (0, 4, 4, 4),
    (-1, 4, 4, 4),
    (4,),
    (1.5, 1, 1, 1),
    (2**70, 1, 1, 1),
    (True, 4, 4, 4),
    {},
    (),
    (None,) * 4,
    (NAN,) * 4,
]
COMPRESSION = [
    d.RUDE,
    d.ODD,
    "nonsense",
    "",
    b"gzip",
    -1,
    10,
    1.5,
    NAN,
    ("", 1),
    ("gzip", 99),
    {},
    ("gzip",),
    {"compression": "x"},
    2**70,
    "gz\0ip",
    [],
    ("x", 1),
]
HDF5 = {
    **PATH,
    "dataset": ("dataset", [*d.TEXT, "/", ".", "..", "a//b/"]),
    "chunks": ("chunk", CHUNKS),
    "compression": ("compression", COMPRESSION),
    **SAVING,
}
BINARY = {**PATH, "blockSize": ("blockSize|size", d.SIZE), **SAVING}
LAYOUT = {"layout": ("layout", [*d.CHOICE, "SERIES"])}
PICTURES = {
    **PATH,
    "filePrefix": ("filePrefix|prefix|file name", [*d.TEXT, "../x", "a/b", ".x"]),
    "overwrite": ("overwrite", d.FLAG),
}

LOAD_IMAGES = wrong(
    dataPath=(
        "dataPath|path|no such",
        [*d.PATH, b"x", "missing", "x" * 5000, [None], [["a"]], [""]],
    ),
    dims=d.DIMS,
    shape=d.DIMS,
    dtype=d.DTYPE,
    inputFormat=d.CHOICE,
    ext=("ext|ending", [*d.TEXT, "nonsense"]),
    startIdx=[*d.INTEGER, 2**70, 6],
    stopIdx=[*d.INTEGER, 0, -(2**70)],
    recursive=d.FLAG,
    nplanes=[*d.COUNT, 5, 2**70],
    channel=[*d.INDEX, 3],
    dataset=d.TEXT,
    axes=[*d.TEXT, "TT", "Q", "YXC"],
    confFilename=d.TEXT,
    nchannels=[*d.COUNT, 5, 2**70],
    incomplete=d.CHOICE,
    order=[*d.TEXT, "CZTT", "CT", "ZZZ", "CZTYX"],
    flyback=[*d.COUNT, 5, 2**70, [0, 0], [-1], [0.5], ["0"], [True], [None]],
    pattern=[*d.TEXT, "*.tif", "{x}.tif", "{t}{z}", "../{t}.tif", "/{t}", "{z}_{z}.tif", "{t"],
    follow=d.CHOICE,
)
LOAD_SERIES = wrong(
    dataPath=("path|no such", [*d.PATH, b"x", "missing", "x" * 5000, ["a"]]),
    nkeys=[*d.COUNT, 2**70],
    nvalues=[*d.COUNT, 2**70],
    inputFormat=d.CHOICE,
    keyType=d.DTYPE,
    valueType=[*d.DTYPE, "u1"],
    dataset=d.TEXT,
    confFilename=d.TEXT,
)
REGIONS = [
    d.RUDE,
    d.ODD,
    3,
    NAN,
    "x",
    b"x",
    {},
    [],
    (),
    [[]],
    [[[]]],
    [[[0, 0]]],
    [[[9, 9, 9]]],
    [[[-1, 0, 0]]],
    [[[0.5, 0, 0]]],
    [[[NAN] * 3]],
    [d.RUDE],
    [[d.RUDE]],
    np.zeros((4, 5)),
    np.zeros((4, 5, 3), int),
    np.zeros((4, 5, 3), "U1"),
    np.full((4, 5, 3), NAN),
    None,
    [[[2**70, 0, 0]]],
    [[[0, 0, 0], [1]]],
]
PATTERN = [
    d.RUDE,
    d.ODD,
    "x",
    b"x",
    {},
    [],
    (),
    [[1], [1, 2]],
    np.zeros(3),
    np.zeros((5, 4)),
    np.zeros((0, 3)),
    np.zeros((2, 2, 2, 2)),
    np.zeros((4, 5), complex),
    np.zeros((4, 5), "M8[s]"),
    np.zeros((4, 5), object),
    np.ma.masked_equal(np.zeros((4, 5)), 0),
]
BOUND = [
    d.RUDE,
    d.ODD,
    3,
    NAN,
    None,
    "000",
    b"000",
    (),
    (0,),
    (NAN,) * 3,
    (True,) * 3,
    (-1, 0, 0),
    (9, 9, 9),
    (2**70,) * 3,
    (1.5, 0, 0),
    (d.RUDE,) * 3,
    {},
]
KEYS = [
    d.RUDE,
    d.ODD,
    "1",
    b"1",
    NAN,
    1.5,
    True,
    None,
    [],
    {},
    -7,
    99,
    2**70,
    slice("a", None),
    slice(1.5, None),
    slice(0, 9, 0),
    slice(0, 9, -1),
    slice(7, 9),
    slice(None, None, True),
    slice(2**70, None),
    slice(None, -(2**70)),
    slice(d.RUDE, None),
]
PIXELS = [
    d.RUDE,
    d.ODD,
    "1",
    b"1",
    NAN,
    True,
    None,
    [],
    {},
    -1,
    99,
    (),
    (0,),
    (0, 0),
    (0, 0, 9),
    (0, 0, -4),
    (0, 0, 0.0),
    (0, 0, True),
    (0, 0, NAN),
    (0, 0, 2**70),
    ("0", 0, 0),
    (d.RUDE, 0, 0),
    (0, 0, 0, 0),
    slice(0, 2),
]
FUNC = {"func": ("func", d.FUNCTION)}
PICTURE = [
    d.RUDE,
    d.ODD,
    3,
    NAN,
    None,
    "x",
    b"x",
    {},
    [],
    [[1], [1, 2]],
    np.zeros(3),
    np.zeros((0, 3)),
    np.zeros((2, 2, 4)),
    np.zeros((2, 2, 2, 2)),
    np.zeros((2, 2), complex),
    np.zeros((2, 2), "M8[s]"),
    np.zeros((2, 2), object),
    np.full((2, 2, 3), 7),
]
DRAWN = wrong(
    bar=d.FLAG,
    nans=d.FLAG,
    cmap=[d.RUDE, d.ODD, "nonsense", 3, NAN, b"gray", [], {}],
    clim=[
        d.RUDE,
        d.ODD,
        3,
        "ab",
        b"ab",
        (),
        (1,),
        (1, 2, 3),
        (2, 1),
        (NAN, 1),
        (0, NAN),
        ("a", "b"),
        (None, 1),
        {},
        (d.RUDE, 1),
        (0, math.inf),
        (True, "x"),
        (1j, 2),
    ],
    size=[*d.NUMBER, 0, -1, NAN, math.inf, True, 10**9],
)

# A scene that moves by whole pixels, and a model of it.
_SCENE = np.random.default_rng(1).integers(0, 4000, (12, 14)).repeat(4, axis=0).repeat(4, axis=1)
MOVING = np.stack([_SCENE[i % 3 : i % 3 + 32, 5:45] for i in range(8)]).astype(np.uint16)
MODEL = RegistrationModel(
    np.zeros((8, 2)),
    np.full(8, 20.0),
    np.arange(8),
    (32, 40),
    "rigid",
    MOVING[0].astype(float),
    np.array([15.5]),
    np.array([19.5]),
)
MODELS = [*d.ALIEN, None, "model.npz", 3, np.zeros((8, 2)), [], {}]
REFERENCE = [
    *d.ALIEN[:-1],
    "mean",
    3,
    True,
    [],
    np.zeros((32, 41)),
    np.zeros(()),
    np.zeros((32, 40), bool),
]
FITTING = wrong(
    reference=[*REFERENCE, np.zeros((32, 40)), np.full((32, 40), NAN)],
    method=[*d.CHOICE, "planar", None],
    maxShift=[
        *(v for v in d.FINITE if not isinstance(v, np.ndarray)),
        0,
        -1,
        16,
        (3,),
        (3, 3, 3),
        (3, NAN),
        2**2000,
    ],
    blockSize=("blockSize", [*d.ALIEN, 3, "8", (128, 128), (8,)]),
    smoothing=("smoothing", [*d.ALIEN, 0, -1.0, NAN, 1.0, "1"]),
    mask=[
        *d.ALIEN[:-1],
        3,
        "all",
        [],
        np.zeros((32, 40)),
        np.zeros((32, 40), bool),
        np.ones(3, bool),
    ],
)
MOVED = {
    "fill": ("fill", [*d.NUMBER, None, True, INF, -1, 0.5, 70000]),
    "order": ("order", d.CHOICE),
    "dtype": ("dtype", [*d.DTYPE, "int32", "uint8"]),
    "scale": ("scale", [*d.FINITE, 0, -1.0, 2, (1.0,), (1, 1, 1), (1, NAN)]),
}

CALLS = [
    Call(
        "context",
        "start",
        {},
        {
            "comm": ("comm", [d.RUDE, d.ODD, 3, "x", b"x", True, [], {}]),
            "memory": ("memory|size", d.SIZE),
            "timeout": ("timeout", [*d.NUMBER, 0, -1, NAN, True]),
            "progress": ("progress", [d.RUDE, d.ODD, "x", -1, NAN, [], {}]),
            "timings": ("timings", d.FLAG),
        },
    ),
    Call("tsc", "loadImages", {"dataPath": RECORDING}, LOAD_IMAGES),
    Call(
        "tsc",
        "loadImagesFromArray",
        {"array": np.zeros((2, 3, 4))},
        {"array": ("array|records|images", [*d.ARRAY, None]), "local": ("local", d.FLAG)},
    ),
    Call("tsc", "loadSeries", {"dataPath": SERIES}, LOAD_SERIES),
    Call(
        "tsc",
        "loadSeriesFromArray",
        {"array": np.zeros((2, 3, 6))},
        {
            "array": ("array|records|series", [*d.ARRAY, None]),
            "index": ("index", d.LABELS),
            "local": ("local", d.FLAG),
        },
    ),
    Call("tsc", "loadExample", {"name": "fish-images"}, {"name": ("name|example", d.CHOICE)}),
    Call(
        "tsc",
        "makeExample",
        {"dataset": "kmeans", "opts": {"k": 2}},
        {
            "dataset": ("dataset", d.CHOICE),
            "seed": ("seed", d.INTEGER),
            "returnParams": ("returnParams", d.FLAG),
            "opts": (
                "no parameter|k must|k times",
                [{"nonsense": 1}, *({"k": value} for value in [*d.COUNT, 2**70, 2**30])],
            ),
        },
    ),
    Call(
        "tsc",
        "export",
        {"data": np.zeros((2, 3)), "filename": OUT, "outputFormat": "npy"},
        {
            "data": (
                "data|array",
                [d.RUDE, d.ODD, {}, "x", b"x", [[1], [1, 2]], 1j, np.array("x")],
            ),
            "filename": ("path|directory|no such|exists|name|'/'|[.]: |too long|/", d.OUTPUT),
            "outputFormat": ("outputFormat", [*d.CHOICE, "mat"]),
            "overwrite": ("overwrite", d.FLAG),
        },
    ),
    *(
        Call("volumes", f"{kind}Projection", {}, AXIS)
        for kind in ("max", "min", "mean", "sum", "stdev", "maxmin")
    ),
    Call(
        "volumes",
        "planes",
        {"bottom": 0, "top": 1},
        wrong(bottom=("planes", [*d.INDEX, 3, 2**70, None]), top=("planes", [*d.INDEX, 3, 2**70])),
    ),
    Call(
        "volumes",
        "planes",
        {"bottom": [0]},
        {
            "bottom": (
                "planes",
                [
                    [],
                    [3],
                    [-1],
                    [0.5],
                    ["0"],
                    [d.RUDE],
                    [True],
                    [None],
                    (NAN,),
                    np.zeros((2, 2)),
                    np.zeros(0),
                    [[0]],
                ],
            )
        },
    ),
    Call(
        "volumes",
        "subsample",
        {"factor": 2},
        {
            "factor": (
                "subsample",
                [
                    *d.COUNT,
                    None,
                    (1, 2),
                    (1, 1, 0),
                    (1, 1, 1.5),
                    (1, 1, d.RUDE),
                    np.ones((2, 2), int),
                    (),
                ],
            )
        },
    ),
    Call(
        "volumes",
        "crop",
        {"minbound": (0, 0, 0), "maxbound": (1, 1, 1)},
        {"minbound": ("crop", BOUND), "maxbound": ("crop", [*BOUND, (0, 0, 0)])},
    ),
    Call(
        "volumes",
        "subtract",
        {"val": 1},
        {"val": ("val", [*PATTERN, NAN, math.inf, None, True, 2**2000])},
    ),
    Call(
        "volumes",
        "correctDetector",
        {"dark": np.zeros((4, 5))},
        {"dark": ("dark", [*PATTERN, 3, 2**70, np.full((4, 5), NAN)])},
    ),
    Call(
        "volumes",
        "correctDetector",
        {"flat": np.ones((4, 5, 3))},
        {"flat": ("flat", [*PATTERN, 3, np.zeros((4, 5))])},
    ),
    Call(
        "volumes",
        "correctDetector",
        {"bad": np.zeros((4, 5), bool)},
        {"bad": ("bad", [*PATTERN, 3, np.zeros((4, 5)), np.ones((4, 5), bool)])},
    ),
    Call(
        "moving",
        "referenceImage",
        {},
        {
            **wrong(nimages=[*d.COUNT, 1], seed=d.INTEGER),
            **{name: FITTING[name] for name in ("maxShift", "method")},
        },
    ),
    Call("moving", "fitRegistration", {}, FITTING),
    Call("moving", "applyRegistration", {"model": MODEL}, {"model": ("model", MODELS), **MOVED}),
    Call("moving", "register", {}, {**FITTING, **{k: v for k, v in MOVED.items() if k != "scale"}}),
    Call("lines", "fitLinePhase", {}, {"nimages": ("nimages", d.COUNT)}),
    Call(
        "lines",
        "correctLinePhase",
        {"phase": 1.5},
        {"phase": ("phase", [*d.FINITE, None, 64, -64.0, 2**2000]), "order": ("order", d.CHOICE)},
    ),
    Call(
        "volumes",
        "timeBin",
        {"n": 1},
        {
            "n": ("timeBin", [*d.COUNT, 2**70]),
            "how": ("how", d.CHOICE),
            "remainder": ("remainder", d.CHOICE),
        },
    ),
    Call(
        "volumes",
        "apply",
        {"func": np.copy},
        {**FUNC, "dims": ("dims", d.SHAPE), "dtype": ("dtype", d.DTYPE)},
    ),
    Call(
        "volumes",
        "meanByRegions",
        {"mask": np.ones((4, 5, 3), int)},
        {"mask": ("mask|region", REGIONS)},
    ),
    Call("volumes", "get", {"key": 0}, {"key": ("key", d.INTEGER)}),
    Call("volumes", "__getitem__", {"key": 0}, {"key": ("key", KEYS)}),
    Call(
        "volumes",
        "plan",
        {},
        wrong(
            ranks=[*d.COUNT, 2**70],
            memory=("memory|size", d.SIZE),
            chunks=("chunk", CHUNKS[:-2]),
            compression=COMPRESSION,
        ),
    ),
    Call("volumes", "saveAsBinarySeries", {"path": OUT}, BINARY),
    Call("volumes", "saveAsHDF5", {"path": OUT}, {**HDF5, **LAYOUT}),
    Call("volumes", "saveAsTifs", {"path": OUT}, PICTURES),
    Call("volumes", "saveAsTif", {"path": OUT}, {**PATH, "overwrite": ("overwrite", d.FLAG)}),
    Call(
        "volumes",
        "report",
        {"path": OUT},
        {
            **PATH,
            "overwrite": ("overwrite", d.FLAG),
            "interval": ("interval", [*d.FINITE, 0, -1.0, 2**2000]),
            "registration": ("registration", [one for one in MODELS if one is not None]),
        },
    ),
    Call(
        "flat",
        "saveAsPngs",
        {"path": OUT},
        {
            **PICTURES,
            "cmap": ("cmap|colormap", [d.RUDE, d.ODD, "nonsense", 3, NAN, b"x", [], {}]),
            "vmin": ("vmin", [*d.NUMBER, NAN, math.inf]),
            "vmax": ("vmax", [*d.NUMBER, NAN, math.inf]),
            "norm": ("norm", [d.RUDE, d.ODD, "nonsense", 3, NAN, b"x", [], {}]),
            "alpha": ("alpha", [*d.NUMBER, -1, 2, NAN]),
            "origin": ("origin", d.CHOICE),
            "imshow": ("nonsense", [3]),
        },
    ),
    *(
        Call(on, name, {"func": lambda *_: True}, FUNC)
        for on in ("volumes", "series")
        for name in ("filter", "filterOnKeys")
    ),
    Call("keys", "take", {"n": 1}, {"n": ("take", [*d.INDEX, None])}),
    Call("series", "__getitem__", {"key": (0, 0, 0)}, {"key": ("key", PIXELS)}),
    Call(
        "series",
        "get",
        {"key": (0, 0, 0)},
        {
            "key": (
                "key",
                [
                    d.RUDE,
                    d.ODD,
                    "1",
                    b"1",
                    NAN,
                    True,
                    None,
                    {},
                    (0, 0, 0.0),
                    (0, 0, True),
                    (d.RUDE, 0, 0),
                    slice(0, 2),
                ],
            )
        },
    ),
    Call("series", "set_index", {"values": range(6)}, {"values": ("index", [*d.LABELS, None])}),
    Call("series", "seriesPercentile", {"q": 20}, {"q": ("percentile", [*d.PERCENT, None])}),
    Call(
        "series",
        "select",
        {"crit": 1},
        {
            "crit": (
                "select",
                [
                    d.RUDE,
                    d.ODD,
                    "1",
                    b"1",
                    NAN,
                    1.5,
                    True,
                    None,
                    [],
                    {},
                    [NAN],
                    ["1"],
                    -1,
                    99,
                    2**70,
                    [2**70],
                    [[0]],
                    [d.RUDE],
                    [None],
                    [True],
                ],
            )
        },
    ),
    Call(
        "series",
        "between",
        {"left": 0, "right": 1},
        {
            "left": ("between", [*d.NUMBER, NAN, None, True, 2, 2**70]),
            "right": ("between", [*d.NUMBER, NAN, None, True, -1, -(2**70)]),
        },
    ),
    Call(
        "series",
        "apply",
        {"func": np.copy},
        {
            **FUNC,
            "index": ("index", [*d.LABELS[:-3], [[0]] * 6, [d.RUDE] * 6]),
            "dtype": ("dtype", d.DTYPE),
        },
    ),
    Call(
        "series",
        "subset",
        {"nsamples": 2, "seed": 1},
        {
            "nsamples": ("nsamples", [*d.COUNT, None]),
            "thresh": ("thresh|above", [*d.NUMBER, NAN, True, math.inf, 1e300]),
            "stat": ("stat", [*d.CHOICE, None]),
            "seed": ("seed", d.INTEGER),
        },
    ),
    Call(
        "times",
        "normalize",
        {},
        {
            "baseline": ("baseline", [*d.CHOICE, None, "window"]),
            "window": ("window", [*d.COUNT, 3]),
            "perc": ("normalize", [*d.PERCENT, None]),
            "offset": ("offset", [*d.FINITE, None]),
        },
    ),
    Call(
        "times",
        "normalize",
        {"baseline": "window", "window": 3},
        {"window": ("window", [*d.COUNT, None])},
    ),
    *(Call(on, "saveAsBinarySeries", {"path": OUT}, BINARY) for on in ("series",)),
    Call("series", "saveAsHDF5", {"path": OUT}, {**HDF5, **LAYOUT}),
    Call(
        "module",
        "verify",
        {"path": SERIES},
        {"path": ("path|no such", [*d.PATH, b"x", "missing", "x" * 5000])},
    ),
    Call(
        "colorize",
        "image",
        {"img": np.zeros((2, 3))},
        {
            "img": ("image|img", PICTURE),
            **DRAWN,
            "ax": ("ax", [d.RUDE, d.ODD, 3, "x", b"", NAN, [], {}]),
        },
    ),
    Call(
        "colorize",
        "tile",
        {"imgs": [np.zeros((2, 3))]},
        {
            "imgs": (
                "image|imgs",
                [
                    d.RUDE,
                    d.ODD,
                    3,
                    NAN,
                    None,
                    "x",
                    b"x",
                    {},
                    [],
                    [[]],
                    [d.RUDE],
                    np.zeros((2, 2)),
                    np.zeros((0, 2, 2)),
                    np.zeros((1, 0, 2)),
                ],
            ),
            **DRAWN,
            "grid": (
                "grid",
                [
                    d.RUDE,
                    d.ODD,
                    3,
                    "11",
                    b"11",
                    (),
                    (1,),
                    (0, 1),
                    (-1, -1),
                    (NAN, 1),
                    (1.5, 1),
                    (True, True),
                    ("1", "1"),
                    {},
                    (d.RUDE, 1),
                    (2**40, 2**40),
                ],
            ),
        },
    ),
    Call(
        "colorize",
        "tile",
        {"imgs": np.zeros((2, 3, 4))},
        {"axis": ("axis", [*d.INTEGER, 3, -4, 2**70, None])},
    ),
]

# Public names without arguments that a user could get wrong.
PLAIN = {
    "ThunderContext": {"close", "comm", "rank", "size", "memory", "loadImagesAsSeries", "timings"},
    "Images": {
        "cache",
        "count",
        "dims",
        "dtype",
        "first",
        "keys",
        "max",
        "mean",
        "metadata",
        "min",
        "ndim",
        "nrecords",
        "renumber",
        "shape",
        "size",
        "stats",
        "stdev",
        "sum",
        "toArray",
        "toSeries",
        "toTimeSeries",
        "uncache",
        "values",
        "variance",
    },
    "Series": {
        "cache",
        "count",
        "dims",
        "dtype",
        "first",
        "keys",
        "max",
        "mean",
        "metadata",
        "min",
        "ndim",
        "nrecords",
        "pack",
        "seriesMax",
        "seriesMean",
        "seriesMedian",
        "seriesMin",
        "seriesStdev",
        "seriesSum",
        "shape",
        "size",
        "stats",
        "stdev",
        "sum",
        "toArray",
        "toTimeSeries",
        "uncache",
        "values",
        "variance",
    },
    "View": {"first", "collect"},
    "Colorize": set(),
}
Anything = Callable[..., Any]
