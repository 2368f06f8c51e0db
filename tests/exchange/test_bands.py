"""Bands of pixels: of every format and layout, and of files that do not stay as they were."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import threading
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from mpimages import FormatError
from mpimages.core.workspace import Workspace
from mpimages.engine.sources import FileSource, PathTable
from mpimages.exchange import bands
from mpimages.exchange.bands import FileBands, MemoryBands
from mpimages.readers import Options, get
from mpimages.readers.base import Handle, Header, Places

from ..support.data import recording
from ..support.recordings import imagej_description, tif_bytes, volumes, write_json

DTYPES = ["u1", "<u2", ">u2", ">i4", "<f4", ">f8", "<f2", ">u8"]


@pytest.fixture(params=[1, 3])
def workspace(request):
    workspace = Workspace(0, request.param)
    yield workspace
    workspace.close()


def source_of(name, paths, **given):
    """A source as loadImages makes it."""
    options, reader = Options(**given), get(name)
    paths = [str(path) for path in paths]
    header = reader.inspect(paths[0], options)
    ends = None
    if reader.multiple(options, header):
        ends = np.cumsum([reader.count(path, options, header) for path in paths])
    return FileSource(reader, options, header, PathTable(paths), ends)


def order_of(dtype):
    return "<" if np.dtype(dtype).isnative else ">"


def images_of(count, dims, dtype):
    return recording(count, dims, np.dtype(dtype).newbyteorder("=").name)


# Each writes some images of a dtype and gives (source, images).


def write_each(directory, content):
    paths = [directory / f"image{i}" for i in range(len(content))]
    for path, data in zip(paths, content, strict=True):
        path.write_bytes(data)
    return paths


def tif_single(directory, dtype, **how):
    images = images_of(7, (6, 5), dtype)
    content = [tif_bytes(image[np.newaxis], order_of(dtype), **how) for image in images]
    return source_of("tif", write_each(directory, content)), images


def tif_big(directory, dtype):
    return tif_single(directory, dtype, big=True)


def tif_strips(directory, dtype):
    return tif_single(directory, dtype, strips=3)


def tif_volumes(directory, dtype, **how):
    images = images_of(4, (6, 5, 3), dtype)
    pages = np.moveaxis(images, -1, 1)
    content = [tif_bytes(volume, order_of(dtype), **how) for volume in pages]
    return source_of("tif", write_each(directory, content)), images


def tif_volumes_of_strips(directory, dtype):
    return tif_volumes(directory, dtype, strips=3)


def tif_movies(directory, dtype):
    images = images_of(11, (6, 5), dtype)
    parts = [tif_bytes(part, order_of(dtype)) for part in (images[:8], images[8:9], images[9:])]
    return source_of("tif", write_each(directory, parts), nplanes=1), images


def tif_movie_of_volumes(directory, dtype):
    pages = images_of(12, (6, 5), dtype)
    parts = [tif_bytes(part, order_of(dtype)) for part in (pages[:9], pages[9:])]
    return source_of("tif", write_each(directory, parts), nplanes=3), volumes(pages, 3)


def tif_imagej(directory, dtype):
    """One directory for all pages, as ImageJ does above 4 GB."""
    images = images_of(10, (6, 5), dtype)
    said = imagej_description(10, frames=10)
    data = tif_bytes(images, order_of(dtype), description=said, directories=1)
    return source_of("tif", write_each(directory, [data])), images


def array_file(directory, dtype, name, shape, axes, images, **given):
    """Images in one file of the shape and axes, written by NumPy or h5py."""
    plain = axes.replace("C", "")
    order = [("TYXZ" if "T" in axes else "YXZ").index(axis) for axis in plain]
    array = (images if "T" in axes else images[0]).transpose(order).astype(dtype)
    options = {"axes": axes}
    if "C" in axes:  # of two channels the second
        array = np.stack([array // 2, array], axes.index("C"))
        options["channel"] = 1
    assert array.shape == shape
    path = directory / "array"
    if name == "npy":
        with open(path, "wb") as file:
            np.save(file, np.ascontiguousarray(array))
    else:
        import h5py

        with h5py.File(path, "w") as file:
            file.create_dataset("movie", data=array, **given)
    return source_of(name, [path], **options), images


ARRAYS = {
    "TYX": (4, 6, 5), "ZYX": (3, 6, 5), "TZYX": (4, 3, 6, 5), "YXZ": (6, 5, 3),
    "TYXZ": (4, 6, 5, 3), "ZTYX": (3, 4, 6, 5), "TCYX": (4, 2, 6, 5), "CTYX": (2, 4, 6, 5),
    "TZCYX": (4, 3, 2, 6, 5), "TCZYX": (4, 2, 3, 6, 5), "CTYXZ": (2, 4, 6, 5, 3),
}  # fmt: skip


def array_case(name, axes, **given):
    shape = ARRAYS[axes]
    extent = dict(zip(axes, shape, strict=True))
    dims = tuple(extent[axis] for axis in "YXZ" if axis in extent)

    def write(directory, dtype):
        images = images_of(extent.get("T", 1), dims, dtype)
        return array_file(directory, dtype, name, shape, axes, images, **given)

    return pytest.param(write, id=f"{name}-{axes}")


def npy_single(directory, dtype):
    images = images_of(5, (6, 5), dtype)
    for i, image in enumerate(images):
        np.save(directory / f"{i}.npy", image.astype(dtype))
    return source_of("npy", sorted(directory.iterdir()), axes="YX"), images


def flat_binary(directory, dtype):
    images = images_of(5, (6, 5, 2), dtype)
    files = write_each(directory, [image.astype(dtype).tobytes() for image in images])
    write_json(directory / "conf.json", {"shape": [6, 5, 2], "dtype": dtype})
    return source_of("stack", files), images


CASES = [
    tif_single, tif_big, tif_strips, tif_volumes, tif_volumes_of_strips, tif_movies,
    tif_movie_of_volumes, tif_imagej, npy_single, flat_binary,
    *(array_case("npy", axes) for axes in ARRAYS),
    *(array_case("hdf5", axes) for axes in ("TYX", "TZYX", "TYXZ", "TZCYX")),
]  # fmt: skip

# Whether the planes of a volume lie apart in the file.
INTERLEAVED = {"tif_volumes", "tif_volumes_of_strips", "tif_movie_of_volumes", "npy-ZYX",
               "npy-TZYX", "hdf5-TZYX", "npy-ZTYX", "npy-TZCYX", "npy-TCZYX",
               "hdf5-TZCYX"}  # fmt: skip


def cuts_of(found):
    """Bands of every kind: nothing, all, one grain, uneven parts."""
    grains = found.pixels // found.grain
    edges = {0, 1, 2, grains // 3, grains // 2 + 1, grains - 1, grains}
    cuts = [found.grain * edge for edge in sorted(edges)]
    return [*pairwise(cuts), (0, found.pixels), (cuts[1], cuts[-2]), (0, 0)]


def read(found, first, last):
    out = np.full((found.count, last - first), 77, found.dtype)
    found.begin(first, last, out).finish()
    return out


def check(found, images):
    """All bands equal those of the images."""
    flat = images.reshape(len(images), found.pixels)
    assert (found.count, found.pixels, found.dtype) == (*flat.shape, images.dtype)
    for first, last in cuts_of(found):
        np.testing.assert_array_equal(read(found, first, last), flat[:, first:last])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_bands_are_those_of_whole_images(tmp_path, workspace, case, dtype, request):
    source, images = case(tmp_path, dtype)
    whole = np.empty(images.shape, images.dtype)
    source.fill(range(source.count), whole)
    np.testing.assert_array_equal(whole, images)
    found = FileBands.survey(source, range(source.count), workspace)
    assert found is not None
    apart = any(
        f"[{name}-" in request.node.name or f"-{name}-" in request.node.name for name in INTERLEAVED
    )
    assert found.grain == (images.shape[-1] if apart else 1)
    check(found, images)


@pytest.mark.parametrize("run", [1, 16])
@pytest.mark.parametrize("piece", [1, 64, 200, 400, 9999])
@pytest.mark.parametrize("case", [tif_volumes, tif_movie_of_volumes])
def test_volumes_are_interleaved_in_pieces(tmp_path, workspace, monkeypatch, case, piece, run):
    monkeypatch.setattr(bands, "PIECE_BYTES", piece)
    monkeypatch.setattr(bands, "RUN_BYTES", run)
    source, images = case(tmp_path, ">u2")
    found = FileBands.survey(source, range(source.count), workspace)
    taken = []
    take = found._scratch.scratch.take.__func__

    def note(self, shape, dtype):
        taken.append(int(np.prod(shape)) * dtype.itemsize)
        return take(self, shape, dtype)

    monkeypatch.setattr(type(found._scratch.scratch), "take", note)
    check(found, images)
    assert taken
    assert max(taken) <= max(found.scratch_bytes, found.grain * found.dtype.itemsize)


@pytest.mark.parametrize("case", [tif_movies, tif_movie_of_volumes, tif_single])
def test_any_selection_of_images(tmp_path, workspace, case):
    source, images = case(tmp_path, ">u2")
    for chosen in ([0, 1, len(images) - 1], [2], range(1, len(images), 2), range(2, 3)):
        positions = chosen if isinstance(chosen, range) else np.array(chosen)
        check(FileBands.survey(source, positions, workspace), images[list(chosen)])


def test_a_rank_without_images(tmp_path, workspace):
    source, images = tif_volumes(tmp_path, ">u2")
    found = FileBands.survey(source, range(0), workspace)
    assert (found.count, found.pixels, found.grain) == (0, 90, 1)
    assert read(found, 3, 60).shape == (0, 57)
    check(found, images[:0])


def test_booleans_are_bytes(tmp_path, workspace):
    images = images_of(4, (6, 5), "u1") & 1
    np.save(tmp_path / "movie.npy", images.astype(bool))
    source = source_of("npy", [tmp_path / "movie.npy"])
    check(FileBands.survey(source, range(4), workspace), images)


# What cannot be read in part.


def tif_coded(directory, **how):
    import tifffile

    for i, image in enumerate(images_of(3, (32, 32), "u2")):
        tifffile.imwrite(directory / f"{i}.tif", image, **how)
    return source_of("tif", sorted(directory.iterdir()))


def tif_deflate(directory):
    return tif_coded(directory, compression="zlib")


def tif_tiles(directory):
    return tif_coded(directory, tile=(16, 16))


def tif_uneven_planes(directory):
    """Pages 0, 1 and 3 of a file with a gap: page 2 is a thumbnail, of fewer rows."""
    pages = images_of(4, (6, 5), "u2")
    data = bytearray(tif_bytes(pages, extra={254: (4, 0)}))
    for tag, value, other in ((254, 0, 1), (257, 6, 3)):
        field = bytes([tag % 256, tag // 256, 4, 0, 1, 0, 0, 0, value, 0, 0, 0])
        places = [i for i in range(len(data)) if data[i : i + 12] == field]
        assert len(places) == 4
        data[places[2] + 8] = other
    return source_of("tif", write_each(directory, [bytes(data)]))


def tif_gaps_between_strips(directory):
    """The second strip of the page is its first one again."""
    data = bytearray(tif_bytes(images_of(1, (6, 5), "u2"), strips=2))
    pair = (8).to_bytes(4, "little") + (8 + 30).to_bytes(4, "little")
    assert data.count(pair) == 1
    at = data.index(pair)
    data[at : at + 8] = pair[:4] * 2
    return source_of("tif", write_each(directory, [bytes(data)]))


def two_orders(directory):
    pages = images_of(2, (1, 6, 5), "u2")
    return source_of("tif", write_each(directory, [tif_bytes(pages[0]), tif_bytes(pages[1], ">")]))


def one_of_many(directory):
    import tifffile

    files = write_each(directory, [tif_bytes(i[None]) for i in images_of(6, (6, 5), "u2")])
    tifffile.imwrite(files[4], np.zeros((6, 5), np.uint16), compression="zlib")
    return source_of("tif", files)


def chunks(directory):
    return array_file(
        directory, "u2", "hdf5", (4, 6, 5), "TYX", images_of(4, (6, 5), "u2"), chunks=(1, 6, 5)
    )[0]


def time_last(directory):
    return array_file(directory, "u2", "npy", (6, 5, 4), "YXT", images_of(4, (6, 5), "u2"))[0]


def channels_last(directory):
    return array_file(directory, "u2", "npy", (4, 6, 5, 2), "TYXC", images_of(4, (6, 5), "u2"))[0]


def column_major(directory):
    files = write_each(directory, [bytes(60)] * 2)
    write_json(directory / "conf.json", {"dims": [6, 5], "dtype": "uint16"})
    return source_of("stack", files)


@pytest.mark.parametrize(
    "case",
    [tif_deflate, tif_tiles, tif_uneven_planes, tif_gaps_between_strips, two_orders, one_of_many,
     chunks, time_last, channels_last, column_major],
)  # fmt: skip
def test_what_cannot_be_read_in_part(tmp_path, workspace, case):
    source = case(tmp_path)
    assert FileBands.survey(source, range(source.count), workspace) is None
    whole = np.empty((source.count, *source.dims), source.dtype)
    source.fill(range(source.count), whole)  # but it can be read


# Files that do not stay as they were.


def truncate(path):
    os.truncate(path, os.path.getsize(path) - 1)


def replace(path):
    other = path.with_name("other")
    shutil.copy(path, other)
    status = os.stat(path)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000))
    other.rename(path)


def append(path):
    with open(path, "ab") as file:
        file.write(b"x")


def remove(path):
    path.unlink()


def become_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (truncate, FormatError, "truncated"),
        (replace, FormatError, "changed since it was listed"),
        (append, FormatError, "changed since it was listed"),
        (become_a_pipe, FormatError, "changed since it was listed"),
        (remove, FileNotFoundError, "No such file"),
    ],
)
@pytest.mark.parametrize("number", [0, 3, 6])
def test_a_file_that_changes_after_the_survey(tmp_path, workspace, damage, error, message, number):
    source, images = tif_single(tmp_path, ">u2")
    pixels = images.reshape(7, -1)
    seen, unseen = (FileBands.survey(source, range(7), workspace) for _ in range(2))
    np.testing.assert_array_equal(read(seen, 0, 9), pixels[:, :9])
    damage(tmp_path / f"image{number}")
    with pytest.raises(error, match=message) as raised:
        read(unseen, 9, 20)
    assert str(tmp_path / f"image{number}") in str(raised.value)
    if damage in (truncate, append):
        with pytest.raises(error, match=message):
            read(seen, 9, 20)
    else:  # the file that was surveyed is open, whatever has its name now
        np.testing.assert_array_equal(read(seen, 9, 20), pixels[:, 9:20])


@pytest.mark.parametrize("damage", [truncate, replace, remove])
@pytest.mark.parametrize("case", [tif_movies, tif_movie_of_volumes])
def test_a_movie_that_changes_after_the_survey(tmp_path, workspace, damage, case):
    source, _ = case(tmp_path, "<u2")
    found = FileBands.survey(source, range(source.count), workspace)
    damage(tmp_path / "image1")
    with pytest.raises((FormatError, FileNotFoundError), match="image1"):
        read(found, 0, found.pixels)


@pytest.mark.parametrize("case", [tif_single, tif_volumes, npy_single, flat_binary])
def test_a_file_that_is_cut_before_the_survey(tmp_path, workspace, case):
    source, _ = case(tmp_path, "<u2")
    path = source.paths[2]
    with open(path, "r+b") as file:
        file.truncate(150 if case is not flat_binary else 50)
    with pytest.raises(FormatError, match=r"image2|2\.npy"):
        FileBands.survey(source, range(source.count), workspace)


def test_data_beyond_the_end_are_found_by_the_survey(tmp_path, workspace):
    """The directory stands before the data, and is whole."""
    import tifffile

    source = tif_coded(tmp_path)
    path = tmp_path / "1.tif"
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].dataoffsets[0] > 8
    truncate(path)
    with pytest.raises(FormatError, match=r"1\.tif.*truncated"):
        FileBands.survey(source, range(3), workspace)


def test_the_survey_says_which_file_is_missing(tmp_path, workspace):
    source, _ = tif_single(tmp_path, "<u2")
    (tmp_path / "image5").unlink()
    with pytest.raises(FileNotFoundError, match="image5"):
        FileBands.survey(source, range(7), workspace)


# Misuse.


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["few", "many"])
def test_files_stay_open_as_far_as_descriptors_go(tmp_path, workspace, limit):
    source, images = tif_single(tmp_path, "<u2")
    gc.collect()  # what earlier tests have left open
    before, (soft, hard) = open_descriptors(), resource.getrlimit(resource.RLIMIT_NOFILE)
    free = 13 if limit == "few" else 400
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + free, hard))
    try:
        found = FileBands.survey(source, range(7), workspace)
        for _ in range(2):
            check(found, images)
            assert open_descriptors() == before + (3 if limit == "few" else 7)
        found.close()
        found.close()
        assert open_descriptors() == before
        check(found, images)
        assert open_descriptors() == before
        found = FileBands.survey(source, range(7), workspace)
        check(found, images)
        del found
        gc.collect()
        assert open_descriptors() == before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_bands_that_are_none(tmp_path, workspace):
    source, _ = tif_volumes(tmp_path, "<u2")
    found = FileBands.survey(source, range(4), workspace)
    assert found.grain == 3
    for first, last in [(-3, 3), (0, 93), (6, 3), (1, 3), (0, 4)]:
        with pytest.raises(ValueError, match="multiples of 3"):
            found.begin(first, last, np.empty((4, max(0, last - first)), np.uint16))


@pytest.mark.parametrize(
    "out",
    [
        np.empty((7, 8), np.uint16),
        np.empty((6, 9), np.uint16),
        np.empty((7, 9), ">u2"),
        np.empty((7, 9), np.int16),
        np.empty((9, 7), np.uint16).T,
        np.empty((7, 18), np.uint16)[:, ::2],
    ],
)
def test_memory_that_does_not_fit(tmp_path, workspace, out):
    source, images = tif_single(tmp_path, "<u2")
    found = FileBands.survey(source, range(7), workspace)
    for each in (found, MemoryBands(images.reshape(7, -1), workspace)):
        with pytest.raises(ValueError, match="C-contiguous"):
            each.begin(0, 9, out)


# Memory.


def test_images_in_memory(workspace):
    images = images_of(5, (6, 5), "u2")
    found = MemoryBands(images.reshape(5, -1), workspace)
    assert found.in_memory
    assert found.grain == 1
    check(found, images)
    for first, last in cuts_of(found):
        band = found.view(first, last)
        assert np.shares_memory(band, images) or band.size == 0
        np.testing.assert_array_equal(band, images.reshape(5, -1)[:, first:last])
    with pytest.raises(ValueError, match="multiples"):
        found.view(3, 31)


def test_files_are_not_in_memory(tmp_path, workspace):
    source, _ = tif_single(tmp_path, "<u2")
    found = FileBands.survey(source, range(7), workspace)
    assert not found.in_memory
    assert found.view(0, 30) is None


class Anywhere(Handle):
    """An image in a file that is never opened."""

    def _read_batch(self, start, stop, out):
        raise AssertionError

    def _find_places(self, start, stop):
        zeros = np.zeros(stop - start, np.int64)
        return Places(zeros, zeros, 1, np.dtype("<u2"), 100, 0)


class Imaginary:
    """A reader that opens nothing, and notes on which threads."""

    def __init__(self):
        self.threads = set()

    def open(self, path, options, header, scratch):
        self.threads.add(threading.get_ident())
        return Anywhere(path, header, 1, scratch)


@pytest.mark.slow
def test_many_files_take_few_bytes_each():
    count, reader, workspace = 20_000, Imaginary(), Workspace(0, 2)
    header = Header("first", (6, 5), np.dtype(np.uint16), 1)
    paths = PathTable([f"/recordings/of/somebody/img_{i:06d}.tif" for i in range(count)])
    source = FileSource(reader, Options(), header, paths, None)
    positions = np.arange(count)
    tracemalloc.start()
    found = FileBands.survey(source, positions, workspace)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    workspace.close()
    assert found.count == count
    assert kept < 60 * count
    assert len(reader.threads) == 2


def test_paths_of_any_bytes(tmp_path, workspace):
    """Names that are no text, and a common start that ends within a letter."""
    names = [os.fsdecode(name) for name in (b"\xc3\xa4.tif", b"\xc3\xb6.tif", b"\xff.tif")]
    images = images_of(3, (6, 5), "u2")
    for name, image in zip(names, images, strict=True):
        (tmp_path / name).write_bytes(tif_bytes(image[np.newaxis]))
    source = source_of("tif", [tmp_path / name for name in names])
    check(FileBands.survey(source, range(3), workspace), images)
