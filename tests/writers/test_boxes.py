"""Boxes into C-order arrays in files, against NumPy's slices."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.dims import pixel_boxes
from mpimages.writers.output import boxes
from mpimages.writers.output.boxes import write_box, write_run

SIZES = st.sampled_from([1, 2, 3, 7, 8, 9])


@pytest.fixture
def descriptor(tmp_path):
    fd = os.open(tmp_path / "array", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@st.composite
def boxes_in_arrays(draw):
    shape = draw(st.lists(SIZES, min_size=1, max_size=4))
    start = [draw(st.integers(0, n - 1)) for n in shape]
    extent = [draw(st.integers(0, n - a)) for n, a in zip(shape, start, strict=True)]
    return tuple(shape), tuple(start), tuple(extent)


def slices(start, extent):
    return tuple(slice(a, a + n) for a, n in zip(start, extent, strict=True))


@given(boxes_in_arrays(), st.sampled_from(["u1", "<i2", ">i2", "<f2", ">f8"]), st.booleans())
def test_a_box_lands_where_numpy_puts_it(descriptor, box, dtype, turned):
    shape, start, extent = box
    values = np.arange(1, 1 + np.prod(extent)).astype(dtype).reshape(extent)
    if turned:
        values = np.asfortranarray(values)
    stored = np.dtype(dtype).newbyteorder("<")
    expected = np.zeros(shape, stored)
    expected[slices(start, extent)] = values
    os.ftruncate(descriptor, 0)
    os.ftruncate(descriptor, 5 + expected.nbytes)
    write_box(descriptor, 5, shape, start, values)
    assert os.pread(descriptor, 1 << 20, 0) == b"\0" * 5 + expected.tobytes()


def test_axes_that_are_covered_wholly_make_one_run(descriptor, monkeypatch):
    calls = []
    write = os.pwrite
    monkeypatch.setattr(
        os, "pwrite", lambda fd, data, at: calls.append((at, len(data))) or write(fd, data, at)
    )
    write_box(descriptor, 0, (9, 7, 8), (2, 0, 0), np.zeros((3, 7, 8), "u2"))
    assert calls == [(2 * 7 * 8 * 2, 3 * 7 * 8 * 2)]
    calls.clear()
    write_box(descriptor, 0, (9, 7, 8), (0, 2, 0), np.zeros((3, 2, 8), "u1"))
    assert calls == [(16, 16), (72, 16), (128, 16)]


def test_short_writes_are_continued(descriptor, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:3], at))
    values = np.arange(100, dtype="<u4")
    write_run(descriptor, 0, values)
    assert os.pread(descriptor, 1000, 0) == values.tobytes()


def test_a_long_run_is_sent_to_the_disk_at_once_and_as_a_whole(descriptor, monkeypatch):
    sent = []
    monkeypatch.setattr(boxes, "WRITEBACK_BYTES", 64)
    monkeypatch.setattr(boxes, "begin_writeback", lambda *given: sent.append(given))
    boxes.write_run(descriptor, 5, np.zeros(63, np.uint8))
    assert sent == []
    boxes.write_run(descriptor, 5, np.zeros(65, np.uint8))
    assert sent == [(descriptor, 5, 65)]


def test_a_system_that_writes_nothing_is_an_error(descriptor, monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: 0)
    with pytest.raises(OSError, match="wrote nothing"):
        write_run(descriptor, 0, np.zeros(3))


@pytest.mark.parametrize("shape", [(50, 7), (1, 350), (2, 5, 35), (350,)])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_large_runs_go_in_pieces(descriptor, monkeypatch, shape, dtype):
    monkeypatch.setattr(boxes, "PIECE_BYTES", 64)
    monkeypatch.setattr(boxes, "CONVERSION_BYTES", 50)
    largest = []
    write = os.pwrite
    monkeypatch.setattr(
        os, "pwrite", lambda fd, data, at: largest.append(len(data)) or write(fd, data, at)
    )
    values = np.arange(350).astype(dtype).reshape(shape)
    for array in (values, np.asfortranarray(values), values[..., ::-1]):
        write_run(descriptor, 9, array)
        assert os.pread(descriptor, 9999, 9) == array.astype("<u2").tobytes()
    assert max(largest) <= 64


def test_read_only_arrays_can_be_written(descriptor):
    values = np.arange(9, dtype="<i8")
    values.flags.writeable = False
    write_run(descriptor, 0, values)
    assert os.pread(descriptor, 999, 0) == values.tobytes()


@pytest.mark.parametrize(
    ("start", "extent"), [((0, 0), (4, 1)), ((2, 0), (2, 1)), ((-1, 0), (1, 1)), ((0,), (3,))]
)
def test_a_box_that_leaves_the_array_is_refused(descriptor, start, extent):
    with pytest.raises(ValueError, match="box"):
        write_box(descriptor, 0, (3, 5), start, np.zeros(extent))
    assert os.fstat(descriptor).st_size == 0


@given(st.lists(SIZES, min_size=1, max_size=4), st.data())
def test_a_range_of_pixels_is_a_few_boxes(dims, data):
    count = int(np.prod(dims))
    first = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(first, count))
    pixels = np.arange(count).reshape(dims)
    parts = list(pixel_boxes(dims, first, stop))
    assert len(parts) <= 2 * len(dims) - 1
    found = [pixels[slices(start, extent)] for start, extent in parts]
    assert [part.shape for part in found] == [extent for _, extent in parts]
    assert [p for part in found for p in part.ravel()] == list(range(first, stop))


@pytest.mark.parametrize(("first", "stop"), [(-1, 2), (3, 2), (0, 13)])
def test_ranges_outside_are_refused(first, stop):
    with pytest.raises(ValueError, match="pixels"):
        list(pixel_boxes((3, 4), first, stop))
