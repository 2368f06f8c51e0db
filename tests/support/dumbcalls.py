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


# No integer, and no sequence of one for each of three axes.
EACH = [
    *(value for value in d.INTEGER if not isinstance(value, np.ndarray)),
    None,
    (1, 1, 1.5),
    (1, 1, d.RUDE),
    (1, 1, None),
    np.ones((2, 2, 2)),
    (),
    (1, 2),
    np.array([1, 2]),
]
WINDOW = [*EACH, 0, -1, (1, 1, 0), 10_001, 2**70]
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
ZARR = {
    **PATH,
    **LAYOUT,
    "chunks": ("chunk", CHUNKS),
    "shards": ("shards|size", d.SIZE),
    "compression": (
        "compression",
        [d.RUDE, d.ODD, 3, "lzf", "x", ("zstd", 99), ("gzip", 0), ("zstd", "a"), True, {}, [], ()],
    ),
    "levels": ("levels", [*d.INDEX, 99, 2**70]),
    "version": ("version", [*d.COUNT, 4, 1, 2**70]),
    **SAVING,
}
PICTURES = {
    **PATH,
    "filePrefix": ("filePrefix|prefix|file name", [*d.TEXT, "../x", "a/b", ".x"]),
    "overwrite": ("overwrite", d.FLAG),
}

BINARY_IMAGES = {
    **PATH,
    "prefix": ("prefix|file name", [*d.TEXT, "../x", "a/b", ".x"]),
    "overwrite": ("overwrite", d.FLAG),
}
# What is no rate and no time.
RATES = [*d.FINITE, 0, -1.5, 2**2000]
# What NWB demands, and what it refuses: all but `path`, and what is stored where.
NWB = {
    "path": OUT,
    "identifier": "one",
    "sessionDescription": "a session",
    "sessionStartTime": "2026-03-01T14:30:00+01:00",
    "device": "microscope",
    "indicator": "GCaMP6f",
    "location": "VISp",
    "excitationLambda": 920,
    "emissionLambda": 520.5,
    "opticalChannel": "green",
    "frameInterval": 0.1,
}
OPTICAL = ("indicator", "location", "excitationLambda", "emissionLambda", "opticalChannel")
DATE = [*d.TEXT[:5], b"2026-03-01", "", "today", "2026-03-01", "2026-03-01T14:30:00", NAN, []]
LAMBDA = [*d.FINITE, 0, -1.0, 0.92, 2**2000]
FIELDS = [d.RUDE, d.ODD, 1j, 3, b"x", NAN, [], {"x": "y"}, {3: "y"}, {"description": d.RUDE}]
NWB_WRONG = {
    **PATH,
    **wrong(
        identifier=[*d.TEXT, "\ud800"],
        sessionDescription=d.TEXT,
        sessionStartTime=DATE,
        name=[*d.TEXT, "a/b", "a:b", ".", ".."],
        description=d.TEXT,
        unit=d.TEXT,
        device=[
            *FIELDS,
            "",
            "a/b",
            {},
            {"name": "a\0b"},
            {"name": "a/b"},
            {"name": 3},
            {"description": "x"},
        ],
        indicator=d.TEXT,
        location=d.TEXT,
        excitationLambda=LAMBDA,
        emissionLambda=LAMBDA,
        opticalChannel=d.TEXT,
        frameInterval=[*d.FINITE, 0, -1.0, 2**2000],
        timestamps=[d.RUDE, d.ODD, "x", b"x", {}, [], [[1.0]], ["a"], 3, NAN, range(6)],
        startingTime=[*d.FINITE, 2**2000],
        subject=[*FIELDS, {"age": 3}, {"age": ""}, {"date_of_birth": "2026-03-01"}],
        general=[*FIELDS, {"lab": ["x"]}, {"keywords": 3}, {"keywords": []}, {"keywords": [3]}],
        fileCreateDate=DATE,
    ),
    "chunks": ("chunk", CHUNKS),
    "compression": ("compression", COMPRESSION),
    **SAVING,
}

# What no array of an image's colours can be made of.
NO_NUMBERS = [d.RUDE, d.ODD, 3, NAN, "x", b"x", {}, [], [[]], [d.RUDE], np.ones((2, 2), complex)]

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
EVENTS = [one for one in d.LABELS if not isinstance(one, list) or len(one) == 6]
EVENTS = [*EVENTS[:-1], [], [d.RUDE], [0.5], [NAN], [2**70], [None], [True], ["1"]]
WEIGHTS = [
    d.RUDE,
    d.ODD,
    3,
    NAN,
    "x",
    b"x",
    {},
    [],
    (),
    [[1.0]],
    [[1.0]] * 2,
    [d.RUDE],
    np.ones((4, 5)),
    np.zeros((4, 5, 3)),
    np.full((4, 5, 3), -1),
    np.full((4, 5, 3), NAN),
    np.full((4, 5, 3), "x"),
]
# Lists of pixels, some of which may be missing from a Series.
PIXEL_LISTS = [d.RUDE, d.ODD, 3, NAN, "x", b"x", {}, [], (), [[]], [[[]]], [[[0, 0]]], [None]]
PIXEL_LISTS += [[[[0.5, 0, 0]]], [[["0", "0", "0"]]], [[[2**70, 0, 0]]], [[[True, True, True]]]]
PIXEL_LISTS += [np.ones((4, 5), int), np.ones((4, 5, 3)), np.zeros((4, 5, 3), int), [d.RUDE]]
INDICES = [d.RUDE, d.ODD, 3, NAN, "missing.mat", "", "a\0b", b"x", {}, [], (), [[]], [[[]]], [[0]]]
INDICES += [[[61]], [[0.5]], [["x"]], [[True]], [[2**70]], [None], [d.RUDE], [[1], []], [1]]
BY_INDEX = {"level": ("level", [*d.INTEGER, -1, 1, 2**70, [0, 0], [0.5], (0, 1)])}
MATRIX = [d.RUDE, d.ODD, "x", b"x", None, 3, NAN, [], {}, 1j, [["a"]] * 6, [d.RUDE] * 6, [True] * 6]
MATRIX += [np.ones((5, 2)), np.ones((6, 2, 2)), np.empty((6, 0)), np.full(6, 2**63, np.uint64)]
EXTENTS = [d.RUDE, d.ODD, "60", b"60", NAN, 1.5, True, None, [], (), {}, (0, 60), (-1, -1), (61,)]
EXTENTS += [(2, 2, 3, 5), 2**70, (2**70,), (1.5, 40), (True, 60), (7, -1), -60, 0, ((3, 20),)]
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
OPERANDS = [*PATTERN[:-5], *PATTERN[-4:], np.zeros((4, 5, 3), complex), None, True, 2**2000]
SERIES_OPERANDS = [*OPERANDS, np.zeros(5), np.zeros((4, 5, 3))]
SLICES = [
    *d.ALIEN,
    0,
    NAN,
    None,
    "0:1",
    [],
    [0],
    [slice(0, 1), 1],
    slice(0, 1, 1),
    slice(0.5, 1),
    slice("a", None),
    slice(d.RUDE, None),
    [slice(0, 1)] * 2,
]
PLACES = [
    *d.ALIEN,
    3,
    NAN,
    None,
    "000",
    (),
    (0,),
    (0, 0),
    (0, 0, 0.5),
    (0, 0, True),
    (0, 0, None),
    (d.RUDE, 0, 0),
    (0, 0, 0, 0),
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
SIGNALS = [
    d.RUDE,
    d.ODD,
    3,
    NAN,
    None,
    "123456",
    b"123456",
    {},
    [],
    {1, 2},
    [NAN] * 6,
    [INF, 1, 2, 3, 4, 5],
    [1j] * 6,
    [None] * 6,
    ["1"] * 6,
    [d.RUDE] * 6,
    [[1], [1, 2]],
    np.zeros((2, 0)),
    np.zeros(6, "M8[s]"),
    np.zeros(6, object),
    np.ma.masked_equal(np.arange(6.0), 0),
]
BLOCK = [
    d.RUDE,
    d.ODD,
    "1",
    b"1",
    NAN,
    True,
    None,
    {},
    3,
    (0, 0, 0.0),
    (0, 0, True),
    (d.RUDE, 0, 0),
]
BLOCKS = {
    "size": ("size|dims", [*d.SIZE, (2, 2), (0, 1, 1), (NAN,) * 3, (2, 2, True), (d.RUDE,) * 3]),
    "units": ("units", [*d.CHOICE, ""]),
    "padding": ("padding", [*d.INDEX, None, (1, 1), (1, 1, -1), (1, 1, 0.5), (d.RUDE,) * 3]),
}
# No label of an index that has 0 ... 5, nor a list of such.
LABEL = [
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
    [d.RUDE],
    [None],
    [True],
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
        "bin",
        {"factor": 1},
        {
            "factor": ("bin", [*EACH, 0, (1, 1, 0), 6, 2**70]),
            "how": ("how", d.CHOICE),
            "remainder": ("remainder", d.CHOICE),
        },
    ),
    Call(
        "volumes",
        "pad",
        {"width": 1},
        {
            "width": ("width", [*EACH, -1, [(1, 2, 3)] * 3, [(1, -1)] * 3, 2**70]),
            "mode": ("mode", [*d.CHOICE, "wrap"]),
            "value": ("value", [*d.FINITE, 0.5, 2**15, 2**2000]),
        },
    ),
    Call(
        "volumes", "flip", {"axis": 1}, {"axis": ("axis|axes", [*EACH[:-2], 3, -4, 2**70, (0, -3)])}
    ),
    Call("volumes", "rotate", {}, {"times": ("times", d.INTEGER)}),
    Call(
        "volumes",
        "transpose",
        {"axes": (1, 0, 2)},
        {"axes": ("axes", [*EACH, 0, (0, 1, 1), (0, 1, 3), (0,) * 5, (2**70, 0, 1)])},
    ),
    Call("volumes", "squeeze"),
    Call(
        "volumes",
        "reshape",
        {"dims": (20, 3)},
        {"dims": ("dims", [*EACH, 7, (0, 60), (-1, -1), (1,) * 5, (-2, -30), (2**70, -1)])},
    ),
    Call(
        "volumes",
        "gaussianFilter",
        {"sigma": 1},
        {
            "sigma": ("sigma", [*d.FINITE, -1, (1, 1), (1, 1, NAN), (1, 1, d.RUDE), 1e-9, 2**2000]),
            "order": ("order", [*EACH, -1, 4, (0, 0, 1), 2**70]),
        },
    ),
    Call("volumes", "uniformFilter", {}, {"size": ("size|Filter", WINDOW)}),
    Call("volumes", "medianFilter", {}, {"size": ("size|Filter", [*WINDOW, 101, (30, 30, 30)])}),
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
        {
            **FUNC,
            "dims": ("dims", d.SHAPE),
            "dtype": ("dtype", d.DTYPE),
            "withKeys": ("withKeys", d.FLAG),
        },
    ),
    Call(
        "volumes",
        "applyBatch",
        {"func": np.copy},
        {**FUNC, "dims": ("dims", d.SHAPE), "dtype": ("dtype", d.DTYPE)},
    ),
    Call("volumes", "applyKeys", {"func": lambda key: key + 1}, FUNC),
    *(
        call
        for on, other in (("volumes", OPERANDS), ("series", SERIES_OPERANDS))
        for call in (
            Call(on, "foreach", {"func": lambda *_: None}, FUNC),
            Call(on, "reduce", {"func": np.maximum}, FUNC),
            Call(
                on,
                "aggregate",
                {"init": int, "add": lambda n, *_: n + 1, "merge": int.__add__, "finish": float},
                {
                    "init": ("init", d.FUNCTION),
                    "add": ("add", d.FUNCTION),
                    "merge": ("merge", d.FUNCTION),
                    "finish": ("finish", [f for f in d.FUNCTION if f is not None]),
                },
            ),
            Call(
                on,
                "sample",
                {"nsamples": 2, "seed": 1},
                {"nsamples": ("nsamples", [*d.COUNT, None]), "seed": ("seed", d.INTEGER)},
            ),
            *(
                Call(on, name, {"other": 2}, {"other": ("other", other)})
                for name in ("plus", "minus", "dottimes", "dotdivide")
            ),
            Call(
                on,
                "elementWise",
                {"other": 2, "op": np.maximum},
                {"other": ("other", other), "op": ("op", d.FUNCTION), "dtype": ("dtype", d.DTYPE)},
            ),
            Call(
                on,
                "clip",
                {"min": 0, "max": 9},
                {
                    "min": ("min", [*d.NUMBER, True, NAN, 10, INF]),
                    "max": ("max", [*d.NUMBER, True, NAN, -1, -INF]),
                },
            ),
            Call(
                on,
                "astype",
                {"dtype": "float64"},
                {
                    "dtype": ("dtype|astype", [*d.DTYPE, None, bool, "i1"]),
                    "casting": ("casting", [*d.CHOICE, None, "no"]),
                },
            ),
            Call(
                on,
                "getRange",
                {"slices": [slice(0, 1)] * (3 if on == "series" else 1)},
                {"slices": ("getRange|slice", SLICES), "keys": ("getRange", d.FLAG)},
            ),
        )
    ),
    Call(
        "volumes",
        "getMany",
        {"keys": [0, 9]},
        {"keys": ("keys", [*d.ALIEN, 3, NAN, "01", b"01", None, ["0"], [0.5], [None], [d.RUDE]])},
    ),
    Call(
        "series",
        "getMany",
        {"keys": [(0, 0, 0)]},
        {"keys": ("key", [*d.ALIEN, 3, NAN, "01", None, [0], ["000"], [(0, 0, 0.5)], [d.RUDE]])},
    ),
    Call(
        "volumes",
        "range",
        {"start": 0, "stop": 2},
        {"start": ("range", [*d.INTEGER, None, 2]), "stop": ("range", [*d.INTEGER, None, 0])},
    ),
    Call(
        "series",
        "range",
        {"start": (0, 0, 0), "stop": (1, 1, 1)},
        {"start": ("range", [*PLACES, (1, 0, 0)]), "stop": ("range", [*PLACES, (1, 1, 0)])},
    ),
    *(Call(on, "toBlocks", {"size": (2, 2, 2)}, BLOCKS) for on in ("volumes", "series")),
    Call(
        "volumes",
        "mapAsSeries",
        {"func": np.copy},
        {
            **FUNC,
            "dtype": ("dtype", d.DTYPE),
            "length": ("length|number of values|alike", [*d.COUNT, 5]),
        },
    ),
    Call(
        "blocks",
        "apply",
        {"func": np.copy},
        {
            **FUNC,
            "length": ("length|number of times|alike", [*d.COUNT, 5]),
            "dtype": ("dtype", d.DTYPE),
        },
    ),
    Call("blocks", "get", {"key": (0, 0, 0)}, {"key": ("key", BLOCK)}),
    Call("blocks", "__getitem__", {"key": (0, 0, 0)}, {"key": ("key|block", [*BLOCK, (1, 0, 0)])}),
    Call(
        "volumes",
        "meanByRegions",
        {"mask": np.ones((4, 5, 3), int)},
        {
            "mask": ("mask|region", REGIONS),
            "weights": ("weight", WEIGHTS),
            "excludeOverlaps": ("excludeOverlaps", [*d.FLAG, True]),
        },
    ),
    Call(
        "volumes",
        "meanByWindow",
        {"indices": [2, 3], "window": 2},
        {
            "indices": ("indices|window", [*EVENTS, [99], [-1], [2**62]]),
            "window": ("window", [*d.COUNT, 7, 2**40, 2**70]),
        },
    ),
    Call("volumes", "meanByLabel", {"labels": range(6)}, {"labels": ("label", d.LABELS)}),
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
    Call("volumes", "saveAsNWB", NWB, {**NWB_WRONG, "series": ("series", d.CHOICE)}),
    Call(
        "volumes",
        "saveAsNWB",
        {**NWB, "series": "ImageSeries", **dict.fromkeys(OPTICAL)},
        wrong(**{name: [NWB[name]] for name in OPTICAL}),
    ),
    Call(
        "volumes",
        "saveAsMatlab",
        {"path": OUT},
        {
            **PATH,
            "name": ("name", [*d.TEXT, "1x", "_x", "a b", "end", "x" * 64]),
            "compression": ("compression", COMPRESSION),
            **SAVING,
        },
    ),
    Call("volumes", "saveAsZarr", {"path": OUT}, ZARR),
    Call("volumes", "saveAsTifs", {"path": OUT}, PICTURES),
    Call("volumes", "saveAsBinaryImages", {"path": OUT}, BINARY_IMAGES),
    Call(
        "volumes",
        "saveAsSuite2p",
        {"path": OUT, "fs": 30},
        {**PATH, "fs": ("fs", RATES), "tau": ("tau", RATES), **SAVING},
    ),
    Call(
        "volumes",
        "saveAsMmap",
        {"path": OUT},
        {
            **PATH,
            "order": ("order", [*d.CHOICE, "c"]),
            "name": ("name", [*d.TEXT, "../x", "a/b", ".x"]),
            **SAVING,
        },
    ),
    Call(
        "volumes",
        "localCorr",
        {},
        wrong(
            neighborhood=[
                d.RUDE,
                d.ODD,
                "2",
                1.5,
                NAN,
                None,
                True,
                0,
                -1,
                (),
                (1,),
                (0, 0, 0),
                2**70,
            ],
            neighbors=[d.RUDE, d.ODD, "4", 4.5, NAN, True, 0, 6, -4, (4,), 2**70],
        ),
    ),
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
        for on in ("volumes", "series", "blocks")
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
    Call("series", "select", {"crit": 1}, {"crit": ("select", [*LABEL, [[0]]])}),
    Call(
        "series",
        "selectByIndex",
        {"val": 1},
        {
            "val": ("selectByIndex", [*LABEL, [[1], [2]]]),
            **BY_INDEX,
            "squeeze": ("squeeze", d.FLAG),
            "filter": ("filter", d.FLAG),
            "returnMask": ("returnMask", d.FLAG),
        },
    ),
    Call("series", "seriesAggregateByIndex", {"func": np.sum}, {**FUNC, **BY_INDEX}),
    Call("series", "seriesStatByIndex", {"stat": "mean"}, {"stat": ("stat", d.CHOICE), **BY_INDEX}),
    *(
        Call("series", f"series{name}ByIndex", {}, BY_INDEX)
        for name in ("Sum", "Mean", "Median", "Stdev", "Max", "Min", "Count")
    ),
    Call(
        "series",
        "meanByRegions",
        {"nestedKeys": np.ones((4, 5, 3), int)},
        {
            "nestedKeys": ("mask|region", PIXEL_LISTS),
            "validate": ("validate", d.FLAG),
            "weights": ("weight", WEIGHTS),
            "excludeOverlaps": ("excludeOverlaps", [*d.FLAG, True]),
        },
    ),
    Call(
        "series",
        "meanOfRegion",
        {"selection": [(0, 0, 0)]},
        {"selection": ("mask|region", PIXEL_LISTS), "validate": ("validate", d.FLAG)},
    ),
    Call(
        "series",
        "query",
        {"inds": [[1, 2], [60]]},
        {
            "inds": ("inds|no such", INDICES),
            "var": ("var", [*d.TEXT, "other"]),
            "order": ("order", d.CHOICE),
            "isOneBased": ("isOneBased", d.FLAG),
        },
    ),
    Call("series", "maxProject", {"axis": 0}, AXIS),
    Call("series", "times", {"other": np.ones((6, 2))}, {"other": ("other|matrix", MATRIX)}),
    Call("series", "reshape", {"dims": (3, 20)}, {"dims": ("dims", EXTENTS)}),
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
            "withKeys": ("withKeys", d.FLAG),
        },
    ),
    Call(
        "series",
        "applyBatch",
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
    *(
        Call("series", name, {}, {"axis": (f"{name}: axis", [*d.INTEGER, 2, -1, 2**70, None])})
        for name in ("center", "standardize", "zscore")
    ),
    Call("series", "seriesStat", {"stat": "mean"}, {"stat": ("stat", [*d.CHOICE, "std", None])}),
    Call(
        "series",
        "squelch",
        {"threshold": 5},
        {"threshold": ("threshold", [*d.NUMBER, NAN, True, None, 2**2000])},
    ),
    Call(
        "series",
        "correlate",
        {"signal": range(6)},
        {"signal": ("signal", [*SIGNALS, np.arange(5), np.ones(6), np.zeros((2, 3, 6))])},
    ),
    *(
        Call("series", name, {given: 3}, {given: (name, [*d.COUNT, 4, 12, 2**70, None])})
        for name, given in (
            ("downsample", "sampleFactor"),
            ("meanByFixedLength", "n"),
            ("groupByFixedLength", "n"),
        )
    ),
    Call(
        "times", "subsample", {"sampleFactor": 3}, {"sampleFactor": ("subsample", [*d.COUNT, None])}
    ),
    *(
        Call(
            "times",
            name,
            {"indices": [2, 3], "window": 3},
            {
                "indices": (f"{name}", [*d.LABELS[:-4], [0], [5], [99], [-1], np.zeros((2, 3))]),
                "window": (f"{name}", [*d.COUNT, 6, 2**70, None]),
            },
        )
        for name in ("meanByWindow", "groupByWindow")
    ),
    Call(
        "times",
        "convolve",
        {"signal": [1, 2]},
        {
            "signal": ("signal", [*SIGNALS, np.zeros((2, 6))]),
            "mode": ("mode", [*d.CHOICE, None, 0]),
        },
    ),
    Call(
        "times",
        "crossCorr",
        {"signal": range(6), "lag": 1},
        {
            "signal": ("signal", [*SIGNALS, np.arange(5), np.ones(6), np.zeros((2, 6))]),
            "lag": ("lag", [*d.INDEX, 6, 2**70, None]),
        },
    ),
    Call(
        "times",
        "detrend",
        {"method": "nonlinear"},
        {
            "method": ("method", [*d.CHOICE, "nonlin", None]),
            "order": ("order", [*d.COUNT, 6, 2**70, None]),
        },
    ),
    Call("times", "fourier", {"freq": 1}, {"freq": ("freq", [*d.COUNT, 3, 2**70, None])}),
    Call(
        "times",
        "normalize",
        {},
        {
            "baseline": ("baseline", [*d.CHOICE, None, "window", "maximin"]),
            "window": ("window", [*d.COUNT, 3]),
            "perc": ("normalize", [*d.PERCENT, None]),
            "offset": ("offset", [*d.FINITE, None]),
            "sigma": ("sigma", [*d.FINITE, 3]),
            "dtype": ("dtype", [*d.DTYPE, "int16", "float16"]),
        },
    ),
    Call(
        "times",
        "normalize",
        {"baseline": "window", "window": 3},
        {"window": ("window", [*d.COUNT, None]), "sigma": ("sigma", [3])},
    ),
    Call(
        "times",
        "normalize",
        {"baseline": "maximin", "window": 3},
        {"window": ("window", [*d.COUNT, None]), "sigma": ("sigma", [*d.FINITE, -1, 2**2000])},
    ),
    *(Call(on, "saveAsBinarySeries", {"path": OUT}, BINARY) for on in ("series",)),
    Call("series", "saveAsHDF5", {"path": OUT}, {**HDF5, **LAYOUT}),
    Call("series", "saveAsZarr", {"path": OUT}, ZARR),
    Call(
        "series",
        "saveAsNWB",
        {**NWB, "regions": np.arange(1, 61).reshape(4, 5, 3)},
        {
            **NWB_WRONG,
            "interface": ("interface", d.CHOICE),
            "regions": ("mask|region", [*REGIONS, [[[2**40, 0, 0]]], np.ones((4, 5, 3), int)]),
            "weights": ("weight", WEIGHTS),
        },
    ),
    Call(
        "module",
        "open",
        {"path": RECORDING},
        {
            "path": LOAD_IMAGES["dataPath"],
            "layout": ("layout", [*d.CHOICE, "SERIES", "frames"]),
            **{name: kind for name, kind in LOAD_IMAGES.items() if name != "dataPath"},
        },
    ),
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
        "rainbow",
        "transform",
        {"img": np.ones((2, 3)), "background": np.ones((2, 3))},
        {
            "img": ("img", NO_NUMBERS),
            "mask": ("mask", [one for one in NO_NUMBERS if one is not None]),
            "background": ("background", [one for one in NO_NUMBERS if one is not None]),
            "mixing": ("mixing", [*d.FINITE, -1.0]),
        },
    ),
    Call(
        "colorize",
        "blend",
        {"img": np.ones((2, 3, 3)), "mask": np.ones((2, 3, 3))},
        {
            "img": ("img", NO_NUMBERS),
            "mask": ("mask", NO_NUMBERS),
            "op": ("op", [d.RUDE, d.ODD, 3, "add", None]),
        },
    ),
    Call(
        "colorize",
        "optimize",
        {"mat": np.eye(3)},
        {
            "mat": ("mat", [*NO_NUMBERS, np.full((3, 3), NAN), np.zeros((3, 2)), np.eye(2)]),
            "asCmap": ("asCmap", d.FLAG),
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
        "cov",
        "dims",
        "dtype",
        "first",
        "flatten",
        "gramian",
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
        "seriesStats",
        "seriesStdev",
        "seriesSum",
        "shape",
        "size",
        "stats",
        "stdev",
        "sum",
        "toArray",
        "toImages",
        "toTimeSeries",
        "uncache",
        "values",
        "variance",
    },
    "Blocks": {
        "blockShape",
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
        "nimages",
        "nrecords",
        "shape",
        "size",
        "stats",
        "stdev",
        "sum",
        "toArray",
        "toImages",
        "toSeries",
        "toTimeSeries",
        "uncache",
        "values",
        "variance",
    },
    "View": {"first", "collect"},
    "Colorize": set(),
}
Anything = Callable[..., Any]
