"""Every illegal input to every kernel: an exception that says what is wrong, and no crash."""

import numpy as np
import pytest

from mpimages.kernels import boxes, moments, projection, registration, runs, series, warp
from mpimages.kernels.correlate import correlate
from mpimages.kernels.transpose import transpose, transpose_each

U8 = np.zeros((4, 5), np.uint8)
FLAT = np.zeros((3, 20), np.uint8)
BOXES = np.zeros((5, 20), np.uint64)
F4 = np.zeros((4, 5), np.float32)
U64 = np.zeros((1, 5), np.uint64)
SLOTS = np.zeros((8, 2, 5))
NODE = np.zeros((2, 5))
CUBE = np.zeros((2, 3, 4), np.uint8)
REAL, W3 = np.zeros((2, 3, 4)), np.ones(3)
TURNED = np.zeros((2, 4, 3), np.uint8)
PATHS = runs.Paths(b"/nowhere/", b"ab", np.array([1, 2]))
BY = np.zeros((2, 2))
AT = np.arange(2.0)
FIELD = np.zeros((2, 2, 2, 2))
ONE = np.zeros(1, np.int64)
TWO = np.zeros(2, np.int64)


SMALL = np.zeros((2, 1, 2), np.float32)
SURFACE = np.zeros((1, 1, 8, 8), np.float32)
SPECTRUM = np.zeros((1, 1, 8, 5), np.complex64)


def frozen(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def misaligned(array):
    raw = np.zeros(array.nbytes + 1, np.uint8)
    return raw[1:].view(array.dtype).reshape(array.shape)


# (kernel, arguments, exception, what the message holds)
ILLEGAL = [
    (boxes.add, ([[1]], (4, 5), (1, 1), 0, BOXES), TypeError, "list"),
    (boxes.add, (FLAT.astype("f4"), (4, 5), (1, 1), 0, BOXES), TypeError, "float32"),
    (boxes.add, (FLAT.astype(">u2"), (4, 5), (1, 1), 0, BOXES), TypeError, "byte-swapped"),
    (boxes.add, (FLAT.astype("u4"), (4, 5), (1, 1), 0, BOXES), TypeError, "uint32"),
    (boxes.add, (FLAT.astype("u2"), (4, 5), (200, 200), 0, BOXES), TypeError, "200"),
    (boxes.add, (FLAT, (4, 6), (1, 1), 0, BOXES), ValueError, "20 pixels"),
    (boxes.add, (FLAT, (20,), (1,), 0, BOXES), ValueError, "2 or 3 axes"),
    (boxes.add, (FLAT, (4, 5), (1, 1, 1), 0, BOXES), ValueError, "2 or 3 axes"),
    (boxes.add, (FLAT, (4, 5), (-1, 1), 0, BOXES), ValueError, "at least 0"),
    (boxes.add, (FLAT, (0, 5), (1, 1), 0, BOXES), ValueError, "at least 1"),
    (boxes.add, (FLAT, (4, 5), (1, 1), 1, BOXES), ValueError, "from row 1 on"),
    (boxes.add, (FLAT, (4, 5), (1, 1), -1, BOXES), ValueError, "from row -1 on"),
    (boxes.add, (FLAT, (4, 5), (1, 1), 0, BOXES[:, :19]), ValueError, "19 pixels"),
    (boxes.add, (FLAT, (4, 5), (1, 1), 0, BOXES[:4]), ValueError, r"\(5 or 7, n\)"),
    (boxes.add, (FLAT, (4, 5), (1, 1), 0, BOXES.astype("i8")), TypeError, "int64"),
    (boxes.add, (FLAT, (4, 5), (1, 1), 0, frozen(BOXES)), ValueError, "read-only"),
    (boxes.correlation, (BOXES[:4], 1, np.zeros(20)), ValueError, "5 or 7 rows"),
    (boxes.correlation, (BOXES.astype("i8"), 1, np.zeros(20)), TypeError, "int64"),
    (boxes.correlation, (BOXES, 0, np.zeros(20)), ValueError, "not 0"),
    (boxes.correlation, (BOXES, 2**32 + 1, np.zeros(20)), ValueError, "2..32"),
    (boxes.correlation, (BOXES, 1, np.zeros(19)), ValueError, r"\(19,\)"),
    (boxes.correlation, (BOXES, 1, np.zeros(20, "f4")), TypeError, "float32"),
    (boxes.limbs, ("uint8", (4, 5), (1,), 1), ValueError, "2 or 3 axes"),
    (moments.accumulate, ([[1]],), TypeError, "list"),
    (moments.accumulate, (U8[0],), ValueError, r"\(5,\)"),
    (moments.accumulate, (F4,), TypeError, "float32"),
    (moments.accumulate, (U8.astype(bool),), TypeError, "bool"),
    (moments.accumulate, (U8.astype(">u2"),), TypeError, "byte-swapped"),
    (moments.accumulate, (np.zeros((5, 4), np.uint8).T,), ValueError, "last axis"),
    (moments.accumulate, (U8, np.zeros((2, 5), np.uint64)), ValueError, r"\(1, 5\)"),
    (moments.accumulate, (U8, np.zeros((1, 6), np.uint64)), ValueError, r"\(1, 6\)"),
    (moments.accumulate, (U8, np.zeros((1, 5), np.int64)), TypeError, "int64"),
    (moments.accumulate, (U8, frozen(U64)), ValueError, "read-only"),
    (moments.accumulate, (U8, misaligned(U64)), ValueError, "aligned"),
    (moments.accumulate, (U8, U64, U64), ValueError, "sums and squares overlap"),
    (moments.accumulate, (U8, None, None, np.zeros(5, np.int8)), TypeError, "maxima"),
    (moments.accumulate, (U8, None, None, None, np.zeros(4, np.uint8)), ValueError, "minima"),
    (moments.accumulate, (U8, None, None, U8[0]), ValueError, "overlap"),
    (moments.accumulate_extrema, (F4.astype(np.float16),), TypeError, "float16"),
    (moments.accumulate_extrema, (F4, np.zeros(5)), TypeError, "float64"),
    (moments.integer_limbs, ("float32",), TypeError, "float32"),
    (moments.finish_integers, (U64, U64, 0, True), ValueError, "not 0"),
    (moments.finish_integers, (U64, U64, 2**62 + 1, True), ValueError, "2..62"),
    (moments.finish_integers, (U64.astype(np.int64), None, 1, True), TypeError, "int64"),
    (moments.finish_integers, (np.zeros((3, 5), "u8"), None, 1, True), ValueError, r"\(3, 5\)"),
    (moments.finish_integers, (U64, np.zeros((1, 4), np.uint64), 1, True), ValueError, r"\(1, 4\)"),
    (moments.finish_integers, (np.zeros((2, 5), np.uint64), U64, 1, True), ValueError, "3 limbs"),
    (moments.finish_integers, (U64, U64, 1, True, np.zeros(4)), ValueError, r"mean.*\(4,\)"),
    (moments.finish_integers, (U64, U64, 1, True, None, np.zeros(5, "f4")), TypeError, "variance"),
    (moments.finish_integers, (U64, None, 1, True, None, np.zeros(5)), ValueError, "squares"),
    (moments.finish_floats, (NODE, 1, NODE[0]), ValueError, "total and node overlap"),
    (moments.finish_floats, (NODE[:2], 1, None, None, np.zeros(5)), ValueError, "M2"),
    (moments.push_floats, (U8, 0, 0, SLOTS, SLOTS.copy()), TypeError, "uint8"),
    (moments.push_floats, (F4, 3, 4, SLOTS, SLOTS.copy()), ValueError, "begins at 4"),
    (moments.push_floats, (F4, 0, -1, SLOTS, SLOTS.copy()), ValueError, "-1"),
    (moments.push_floats, (F4, 2**62, 0, SLOTS, SLOTS.copy()), ValueError, "2..62"),
    (moments.push_floats, (F4, 252, 0, SLOTS, SLOTS.copy()), ValueError, "9 levels"),
    (moments.push_floats, (F4, 0, 0, SLOTS, SLOTS), ValueError, "left and right overlap"),
    (moments.push_floats, (F4, 0, 0, SLOTS[:, :1], SLOTS.copy()), ValueError, r"\(8, 1, 5\)"),
    (moments.push_floats, (F4, 0, 0, np.zeros((8, 3, 5)), SLOTS), ValueError, "3 parts"),
    (moments.push_floats, (F4, 0, 0, np.zeros((8, 4, 5)), SLOTS), ValueError, r"\(8, 4, 5\)"),
    (moments.push_floats, (F4, 0, 0, SLOTS[:, 0], SLOTS), ValueError, "3 axes"),
    (moments.push_floats, (F4, 0, 0, SLOTS.astype("f4"), SLOTS), TypeError, "float32"),
    (moments.finish_floats, (NODE, 0), ValueError, "not 0"),
    (moments.finish_floats, (NODE[0], 1), ValueError, r"\(5,\)"),
    (moments.finish_floats, (NODE.astype("f4"), 1), TypeError, "float32"),
    (moments.occupied, (5, 4), ValueError, "5 ... 4"),
    (moments.occupied, (-1, 4), ValueError, "-1"),
    (moments.merge_nodes, (NODE, NODE, -1, NODE.copy()), ValueError, "-1"),
    (moments.merge_nodes, (NODE, NODE, 63, NODE.copy()), ValueError, "63"),
    (moments.merge_nodes, (NODE, NODE[:1], 1, NODE.copy()), ValueError, r"\(1, 5\)"),
    (moments.merge_nodes, (NODE, NODE, 1, NODE[0]), ValueError, r"\(5,\)"),
    (moments.merge_nodes, (NODE, NODE, 1, frozen(NODE)), ValueError, "read-only"),
    (moments.fold, (NODE, 0, NODE, 1, NODE.copy()), ValueError, "not 0"),
    (moments.fold, (NODE.astype("f4"), 1, NODE, 1, NODE.copy()), TypeError, "float32"),
    (projection.project, ("median", CUBE, np.zeros((2, 4))), ValueError, "median"),
    (projection.project, ("max", CUBE, np.zeros((2, 4))), TypeError, "uint8"),
    (projection.project, ("max", CUBE, np.zeros((2, 3), np.uint8)), ValueError, r"\(2, 4\)"),
    (projection.project, ("max", CUBE[0], U8), ValueError, r"\(3, 4\)"),
    (projection.project, ("max", CUBE[:, ::2], np.zeros((2, 4), np.uint8)), ValueError, "C-contig"),
    (projection.project, ("max", CUBE[:, :0], np.zeros((2, 4), np.uint8)), ValueError, "nothing"),
    (projection.project, ("max", CUBE, CUBE[:, 0]), ValueError, "C-contiguous"),
    (projection.project, ("max", CUBE.astype(">i4"), U8), TypeError, "byte-swapped"),
    (correlate, (CUBE, W3, np.zeros((2, 3, 4), np.uint8)), TypeError, "float32 or float64"),
    (correlate, (CUBE, W3, np.zeros((2, 3, 5))), ValueError, r"\(2, 3, 4\)"),
    (correlate, (CUBE[0], W3, np.zeros((3, 4))), ValueError, r"\(3, 4\)"),
    (correlate, (CUBE[:, ::2], W3, np.zeros((2, 2, 4))), ValueError, "C-contig"),
    (correlate, (CUBE, W3, np.zeros((2, 4, 3)).swapaxes(1, 2)), ValueError, "contiguous"),
    (correlate, (CUBE.astype(">i4"), W3, np.zeros((2, 3, 4))), TypeError, "byte-swapped"),
    (correlate, (CUBE, W3[:0], np.zeros((2, 3, 4))), ValueError, "no weights"),
    (correlate, (CUBE, W3.astype("f4"), np.zeros((2, 3, 4))), TypeError, "weights"),
    (correlate, (CUBE, [1.0], np.zeros((2, 3, 4))), TypeError, "weights"),
    (correlate, (CUBE, None, np.zeros((2, 3, 4))), TypeError, "weights"),
    (correlate, (REAL, W3, REAL.view("i8")), TypeError, "int64"),
    (correlate, (REAL.view("i8"), W3, REAL), ValueError, "overlap"),
    (correlate, (REAL, REAL[0, 0], REAL), ValueError, "out and weights overlap"),
    (correlate, ([[[1]]], W3, np.zeros((1, 1, 1))), TypeError, "list"),
    (transpose, (U8, np.zeros((4, 5), np.uint8)), ValueError, r"\(5, 4\)"),
    (transpose, (U8, np.zeros((5, 4), np.int8)), TypeError, "int8"),
    (transpose, (U8[:, ::2], np.zeros((3, 4), np.uint8)), ValueError, "last axis"),
    (transpose, (U8.astype(complex), np.zeros((5, 4), complex)), TypeError, "complex128"),
    (transpose, (U8.astype(object), np.zeros((5, 4), object)), TypeError, "object"),
    (transpose, (CUBE, CUBE), ValueError, "2 axes"),
    (transpose_each, ([[[1]]], TURNED), TypeError, "list"),
    (transpose_each, (U8, TURNED), ValueError, "3 axes"),
    (transpose_each, (CUBE[:, ::2], TURNED), ValueError, "C-contiguous"),
    (transpose_each, (CUBE, CUBE.copy()), ValueError, r"\(2, 4, 3\)"),
    (transpose_each, (CUBE, TURNED.astype(np.int8)), TypeError, "int8"),
    (transpose_each, (CUBE, frozen(TURNED)), ValueError, "read-only"),
    (transpose_each, (CUBE, np.zeros((2, 4, 6), np.uint8)[:, :, :3]), ValueError, "matrices"),
    (transpose_each, (CUBE, CUBE.reshape(2, 4, 3)), ValueError, "overlap"),
    (transpose_each, (CUBE.astype(complex), TURNED.astype(complex)), TypeError, "complex128"),
    (transpose_each, (CUBE.astype(object), TURNED.astype(object)), TypeError, "object"),
    (runs.Paths, ("a", b"", ONE), TypeError, "bytes"),
    (runs.Paths, (b"", b"", [0]), TypeError, "list"),
    (runs.Paths, (b"", b"ab", np.array([2, 1])), ValueError, "ascend"),
    (runs.Paths, (b"", b"ab", np.array([-1, 2])), ValueError, "ascend"),
    (runs.Paths, (b"", b"ab", np.array([1])), ValueError, "ascend to 2"),
    (runs.Paths, (b"", b"ab", np.array([1.0, 2.0])), TypeError, "float64"),
    (runs.Paths, (b"", b"a\0", np.array([1, 2])), ValueError, "zero byte"),
    (runs.read_runs, (None, TWO, TWO, TWO, TWO, TWO, 0, False, CUBE), TypeError, "Paths"),
    (runs.read_runs, (PATHS, [0, 0], TWO, TWO, TWO, TWO, 0, False, CUBE), TypeError, "path.*list"),
    (runs.read_runs, (PATHS, TWO, ONE, TWO, TWO, TWO, 0, False, CUBE), ValueError, "first has 1"),
    (runs.read_runs, (PATHS, TWO, TWO, TWO[:1], TWO, TWO, 0, False, CUBE), ValueError, "stride"),
    (runs.read_runs, (PATHS, TWO, TWO, TWO, ONE, TWO, 0, False, CUBE), ValueError, "size has 1"),
    (runs.read_runs, (PATHS, TWO, TWO, TWO, TWO, ONE, 0, False, CUBE), ValueError, "modified"),
    (runs.read_runs, (PATHS, TWO, TWO, TWO, TWO, TWO, -1, False, CUBE), ValueError, "-1"),
    (runs.read_runs, (PATHS, TWO + 2, TWO, TWO, TWO, TWO, 0, False, CUBE), ValueError, "2 paths"),
    (runs.read_runs, (PATHS, TWO - 1, TWO, TWO, TWO, TWO, 0, False, CUBE), ValueError, "2 paths"),
    (runs.read_runs, (PATHS, TWO, TWO, TWO, TWO, TWO, 0, True, CUBE), TypeError, "uint8"),
    (runs.read_runs, (PATHS, TWO, TWO, TWO, TWO, TWO, 0, False, U8), ValueError, "3 axes"),
    (runs.read_runs, (PATHS, TWO, TWO, TWO, TWO, TWO, 0, False, "out"), TypeError, "str"),
    (runs.read_runs, (PATHS, TWO, TWO, TWO, TWO, TWO, 0, False, frozen(CUBE)), ValueError, "only"),
    (
        runs.read_runs,
        (PATHS, TWO, TWO, TWO, TWO, TWO, 0, False, CUBE.astype(object)),
        TypeError,
        "object",
    ),
    (runs.swap_bytes, ([1],), TypeError, "list"),
    (runs.swap_bytes, (U8,), TypeError, "uint8"),
    (runs.swap_bytes, (F4.astype(complex),), TypeError, "complex128"),
    (runs.swap_bytes, (F4.astype(object),), TypeError, "object"),
    (runs.swap_bytes, (F4[:, ::2],), ValueError, "C-contiguous"),
    (runs.swap_bytes, (frozen(F4),), ValueError, "writeable"),
    (series.percentile_rows, (U8, -1, np.zeros((4, 1))), ValueError, "-1"),
    (series.percentile_rows, (U8, 100.1, np.zeros((4, 1))), ValueError, "100.1"),
    (series.percentile_rows, (U8, np.nan, np.zeros((4, 1))), ValueError, "nan"),
    (series.percentile_rows, (U8, [[1]], np.zeros((4, 1))), ValueError, r"\(1, 1\)"),
    (series.percentile_rows, (U8, [1, 2], np.zeros((4, 1))), ValueError, r"\(4, 2\)"),
    (series.percentile_rows, (U8[:, :0], 1, np.zeros((4, 1))), ValueError, "empty"),
    (series.percentile_rows, (U8.astype("f2"), 1, np.zeros((4, 1))), TypeError, "float16"),
    (series.convolve_rows, (U8, np.ones(2), np.zeros((4, 4))), TypeError, "float64"),
    (series.convolve_rows, (np.zeros((4, 5)), [1.0], np.zeros((4, 5))), TypeError, "taps"),
    (series.convolve_rows, (np.zeros((4, 5)), np.ones(2, "f4"), np.zeros((4, 4))), TypeError, "f"),
    (
        series.convolve_rows,
        (np.zeros((4, 5)), np.ones(6), np.zeros((4, 5))),
        ValueError,
        "5 values",
    ),
    (series.convolve_rows, (np.zeros((4, 5)), np.ones(0), np.zeros((4, 5))), ValueError, "taps"),
    (
        series.convolve_rows,
        (np.zeros((4, 5)), np.ones(2), np.zeros((4, 5))),
        ValueError,
        r"\(4, 4\)",
    ),
    (
        series.convolve_rows,
        (np.zeros((4, 5)), np.ones((2, 2)), np.zeros((4, 4))),
        ValueError,
        "1-D",
    ),
    (series.running_percentile_rows, (U8, 0, 1, np.zeros((4, 5))), ValueError, "not 0"),
    (series.running_percentile_rows, (U8, 3, [1, 2], np.zeros((4, 5))), ValueError, "one number"),
    (series.running_percentile_rows, (U8, 3, 1, np.zeros((4, 4))), ValueError, r"\(4, 5\)"),
    (series.normalize_rows, (U8, np.zeros(5), 0, np.zeros((4, 5))), ValueError, r"\(4,\)"),
    (series.normalize_rows, (U8, np.zeros(4, "f4"), 0, np.zeros((4, 5))), TypeError, "float32"),
    (series.normalize_rows, (U8, [0] * 4, 0, np.zeros((4, 5))), TypeError, "list"),
    (series.normalize_rows, (U8, np.zeros(4), 0, np.zeros((4, 5), "i8")), TypeError, "int64"),
    (series.normalize_rows, (U8, np.zeros(4), "x", np.zeros((4, 5))), TypeError, "str|real"),
    (registration.reduce_frames, ([[[1]]], (0, 0), (2, 2), SMALL), TypeError, "list"),
    (registration.reduce_frames, (U8, (0, 0), (2, 2), SMALL), ValueError, "3 or 4 axes"),
    (registration.reduce_frames, (CUBE[:, ::2], (0, 0), (2, 2), SMALL), ValueError, "C-contig"),
    (registration.reduce_frames, (CUBE.astype(bool), (0, 0), (2, 2), SMALL), TypeError, "bool"),
    (registration.reduce_frames, (CUBE, (0, 0), (2, 2), U8), ValueError, "as many axes"),
    (registration.reduce_frames, (CUBE, (0, 0), (2, 2), SMALL[:1]), ValueError, r"\(2, 1, 2\)"),
    (registration.reduce_frames, (CUBE, (0, 0), (2, 2), SMALL.astype("f8")), TypeError, "float64"),
    (registration.reduce_frames, (CUBE, (0, 0), (2, 2), frozen(SMALL)), ValueError, "read-only"),
    (registration.reduce_frames, (CUBE, (2, 0), (2, 2), SMALL), ValueError, "exceed"),
    (registration.reduce_frames, (CUBE, (0, 1), (2, 2), SMALL), ValueError, "exceed"),
    (registration.reduce_frames, (CUBE, (-1, 0), (2, 2), SMALL), ValueError, "start"),
    (registration.reduce_frames, (CUBE, (0, 0), (0, 2), SMALL), ValueError, "bins"),
    (registration.find_peaks, ([1], SPECTRUM, (0, 3, 3)), TypeError, "surfaces"),
    (registration.find_peaks, (SURFACE.astype("f8"), SPECTRUM, (0, 3, 3)), TypeError, "float32"),
    (registration.find_peaks, (SURFACE, SURFACE, (0, 3, 3)), TypeError, "spectra"),
    (registration.find_peaks, (SURFACE[0], SPECTRUM, (0, 3, 3)), ValueError, "4 axes"),
    (registration.find_peaks, (SURFACE, SPECTRUM[..., :4], (0, 3, 3)), ValueError, "contig"),
    (
        registration.find_peaks,
        (SURFACE, SPECTRUM[..., :4].copy(), (0, 3, 3)),
        ValueError,
        "not those",
    ),
    (registration.find_peaks, (SURFACE, SPECTRUM, (0, 4, 3)), ValueError, "reach"),
    (registration.find_peaks, (SURFACE, SPECTRUM, (0, -1, 3)), ValueError, "reach"),
    (registration.find_peaks, (SURFACE, SPECTRUM, (3, 3)), ValueError, "reach"),
    (warp.shift, ([[[1]]], BY, CUBE.copy(), 1, None), TypeError, "list"),
    (warp.shift, (U8, BY, CUBE.copy(), 1, None), ValueError, "frames must have 3 or 4 axes"),
    (warp.shift, (CUBE[:, ::2], BY, CUBE.copy(), 1, None), ValueError, "frames must be C-contig"),
    (warp.shift, (CUBE.astype(bool), BY, CUBE.copy(), 1, None), TypeError, "bool"),
    (warp.shift, (CUBE.astype(">i4"), BY, CUBE.copy(), 1, None), TypeError, "byte-swapped"),
    (warp.shift, (CUBE, [[0, 0]], CUBE.copy(), 1, None), TypeError, "shifts.*list"),
    (warp.shift, (CUBE, BY.astype("f4"), CUBE.copy(), 1, None), TypeError, "shifts.*float32"),
    (warp.shift, (CUBE, BY[:1], CUBE.copy(), 1, None), ValueError, r"shifts.*\(2, 2\)"),
    (warp.shift, (CUBE, np.zeros((2, 3)), CUBE.copy(), 1, None), ValueError, r"\(2, 3\)"),
    (warp.shift, (CUBE, BY + np.nan, CUBE.copy(), 1, None), ValueError, "shifts must be finite"),
    (warp.shift, (CUBE, BY - np.inf, CUBE.copy(), 1, None), ValueError, "shifts must be finite"),
    (warp.shift, (CUBE, BY, CUBE, 1, None), ValueError, "out and frames overlap"),
    (warp.shift, (CUBE, BY, CUBE.astype(np.int8), 1, None), TypeError, "uint8 out must be.*int8"),
    (warp.shift, (CUBE.astype(int), BY, CUBE.astype("f4"), 1, None), TypeError, "float32"),
    (warp.shift, (CUBE.astype("f4"), BY, CUBE.copy(), 1, None), TypeError, "not uint8"),
    (warp.shift, (CUBE, BY, CUBE.astype(">f8"), 1, None), TypeError, "byte-swapped"),
    (warp.shift, (CUBE, BY, TURNED, 1, None), ValueError, r"out must have shape \(2, 3, 4\)"),
    (warp.shift, (CUBE, BY, frozen(CUBE), 1, None), ValueError, "read-only"),
    (warp.shift, (CUBE, BY, misaligned(CUBE.astype(float)), 1, None), ValueError, "aligned"),
    (warp.shift, (CUBE, BY, TURNED.swapaxes(1, 2), 1, None), ValueError, "out must be C-contig"),
    (warp.shift, (CUBE, BY, CUBE.copy(), 2, None), ValueError, "order.*not 2"),
    (warp.shift, (CUBE, BY, CUBE.copy(), 1, np.nan), ValueError, "uint8 cannot hold.*nan"),
    (warp.shift, (CUBE, BY, CUBE.copy(), 1, 0.5), ValueError, "uint8 cannot hold.*0.5"),
    (warp.shift, (CUBE, BY, CUBE.copy(), 1, 256), ValueError, "uint8 cannot hold.*256"),
    (warp.shift, (CUBE, BY, CUBE.copy(), 1, -1), ValueError, "uint8 cannot hold.*-1"),
    (warp.shift, (CUBE, BY, CUBE.astype("f4"), 1, 1e39), ValueError, "float32 cannot hold"),
    (warp.shift, (CUBE, BY, CUBE.astype("f8"), 1, 10**400), ValueError, "float64 cannot hold"),
    (warp.shift, (CUBE, BY, CUBE.copy(), 1, "0"), TypeError, "fill.*str"),
    (warp.shift, (CUBE, BY, CUBE.copy(), 1, True), TypeError, "fill.*bool"),
    (warp.warp, (CUBE[None], FIELD, AT, AT, CUBE[None], 1, None), ValueError, "must have 3 axes"),
    (warp.warp, (CUBE, FIELD[0], AT, AT, CUBE.copy(), 1, None), ValueError, r"\(2, 2, 2, 2\)"),
    (warp.warp, (CUBE, FIELD, AT, AT[:1], CUBE.copy(), 1, None), ValueError, r"\(2, 2, 1, 2\)"),
    (warp.warp, (CUBE, FIELD[:, :0], AT[:0], AT, CUBE.copy(), 1, None), ValueError, "rows must"),
    (warp.warp, (CUBE, FIELD, AT, BY, CUBE.copy(), 1, None), ValueError, "columns must have one"),
    (warp.warp, (CUBE, FIELD, AT[::-1], AT, CUBE.copy(), 1, None), ValueError, "rows must ascend"),
    (warp.warp, (CUBE, FIELD, AT, AT * 0, CUBE.copy(), 1, None), ValueError, "columns must asc"),
    (
        warp.warp,
        (CUBE, FIELD, AT + np.inf, AT, CUBE.copy(), 1, None),
        ValueError,
        "rows must be fin",
    ),
    (warp.warp, (CUBE, FIELD, [0, 1], AT, CUBE.copy(), 1, None), TypeError, "rows.*list"),
    (warp.warp, (CUBE, FIELD + np.nan, AT, AT, CUBE.copy(), 1, None), ValueError, "shifts.*finite"),
    (warp.warp, (CUBE, FIELD, AT, AT, CUBE, 1, None), ValueError, "out and frames overlap"),
    (warp.warp, (CUBE, FIELD, AT, AT, CUBE.copy(), 0, None), ValueError, "order.*not 0"),
    (warp.warp, (CUBE, FIELD, AT, AT, CUBE.copy(), 1, np.inf), ValueError, "cannot hold.*inf"),
]


@pytest.mark.parametrize(("kernel", "arguments", "error", "message"), ILLEGAL)
def test_illegal_arguments(kernel, arguments, error, message):
    with pytest.raises(error, match=message):
        kernel(*arguments)


def test_outputs_that_overlap_themselves():
    small = np.zeros(100, np.uint8)
    rows = np.lib.stride_tricks.as_strided(small, (5, 4), (3, 1))
    with pytest.raises(ValueError, match="overlaps itself"):
        transpose(U8, rows)


def test_interlaced_arrays_do_not_overlap():
    whole = np.arange(80, dtype=np.uint8).reshape(4, 20)
    transpose(whole[:, :4], whole[:, 10:14])
    assert np.array_equal(whole[:, 10:14], whole[:, :4].T)


def test_partial_overlap_of_nodes():
    whole = np.zeros((3, 5))
    with pytest.raises(ValueError, match="overlap"):
        moments.merge_nodes(whole[:2], np.zeros((2, 5)), 1, whole[1:])
