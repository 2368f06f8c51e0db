"""One multi-page TIFF of all images: what other readers find in it, on all ranks."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from mpimages.formats.tif_checksums import pack_mark, read_mark
from mpimages.verification import verify
from mpimages.writers.tif.layout import StackLayout
from mpimages.writers.tif.stack import StackWriter
from mpimages.writers.tif.tables import Tag, first_table

pytestmark = pytest.mark.ranks

METADATA = {"pixelSize": (0.5, 0.25, 3.0), "unit": "µm", "frameInterval": 0.125}


def numbers(shape, dtype):
    """Different everywhere, the same on all ranks."""
    return (np.arange(np.prod(shape)) % 251 - 3).astype(dtype).reshape(shape)


def loaded(tsc, images):
    """A collection that knows its metadata."""
    found = tsc.loadImagesFromArray(images)
    found.metadata.update(METADATA)
    return found


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "i4", "u8", "f8", "i8"])
@pytest.mark.parametrize("shape", [(7, 5, 3), (4, 6, 5, 3), (1, 3, 3), (3, 1, 1), (1, 2, 3, 4)])
def test_what_tifffile_reads_is_what_was_given(tsc, shared_path, shape, dtype):
    import tifffile

    images = numbers(shape, dtype)
    path = shared_path / "all.tif"
    loaded(tsc, images).saveAsTif(path)
    wanted = np.moveaxis(images, -1, 1) if images.ndim == 4 else images
    with tifffile.TiffFile(path) as file:
        pages = np.stack([page.asarray() for page in file.pages])
        assert (pages == wanted.reshape(pages.shape)).all()
        assert pages.dtype == images.dtype
        series = file.asarray()
        assert (series == wanted.reshape(series.shape)).all()
        assert file.is_imagej
        assert (
            file.series[0].axes
            == {
                (7, 5, 3): "TYX",
                (4, 6, 5, 3): "TZYX",
                (1, 3, 3): "YX",
                (3, 1, 1): "TYX",
                (1, 2, 3, 4): "ZYX",
            }[shape]
        )
        assert file.pages[0].dataoffsets[0] % 16 == 0
        assert file.series[0].dataoffset is not None  # one run
        assert file.imagej_metadata["unit"] == "um"
    assert verify(path).ok


def test_it_is_read_as_the_images_that_it_was_made_of(tsc, shared_path):
    images = numbers((5, 6, 7, 3), "u2")
    loaded(tsc, images).saveAsTif(shared_path / "all.tif")
    read = tsc.loadImages(str(shared_path / "all.tif"))
    assert (read.toArray() == images).all()
    assert read.metadata == METADATA


def test_its_bytes_do_not_depend_on_the_ranks(tsc, comm, shared_path):
    """Against one rank's, of a communicator of its own."""
    from mpi4py import MPI

    images = numbers((11, 13, 9, 2), "f4")
    loaded(tsc, images).saveAsTif(shared_path / "all.tif")
    if comm.rank == 0:
        layout = StackLayout((11, 2, 13, 9), np.dtype("f4"), METADATA)
        writer = StackWriter(MPI.COMM_SELF, str(shared_path / "one.tif"), layout)
        for first, stop in ((7, 11), (3, 7), (0, 3)):  # in any order
            writer.write(first, images[first:stop])
        writer.finish()
        assert (shared_path / "one.tif").read_bytes() == (shared_path / "all.tif").read_bytes()
    comm.Barrier()


def test_images_whose_dims_only_running_tells(tsc, shared_path):
    images = numbers((5, 4, 4), "u1")
    derived = loaded(tsc, images).apply(lambda image: image[:2].astype("u2"))
    derived.saveAsTif(shared_path / "all.tif")
    assert (tsc.loadImages(str(shared_path / "all.tif")).toArray() == images[:, :2]).all()


def test_overwriting_only_what_mpimages_wrote(tsc, comm, shared_path):
    import tifffile

    images = loaded(tsc, numbers((3, 4, 5), "u1"))
    path = shared_path / "all.tif"
    images.saveAsTif(path)
    with pytest.raises(FileExistsError, match="overwrite=True replaces it"):
        images.saveAsTif(path)
    images.crop((0, 0), (2, 2)).saveAsTif(path, overwrite=True)
    assert tifffile.imread(path).shape == (3, 2, 2)
    comm.Barrier()
    if comm.rank == 0:
        tifffile.imwrite(path, np.zeros((2, 3), "u1"))
    comm.Barrier()
    with pytest.raises(FileExistsError, match="mark of mpimages"):
        images.saveAsTif(path, overwrite=True)
    assert tifffile.imread(path).shape == (2, 3)
    assert os.listdir(shared_path) == ["all.tif"]


def test_a_failure_leaves_nothing(tsc, shared_path):
    def fail(image):
        raise ValueError("made to fail")

    images = loaded(tsc, numbers((5, 4, 4), "u1")).apply(fail, (4, 4), np.uint8)
    with pytest.raises(ValueError, match="made to fail"):
        images.saveAsTif(shared_path / "all.tif")
    with pytest.raises(ValueError, match="images or volumes"):
        tsc.loadImagesFromArray(numbers((5, 4, 4), "u1")).apply(
            lambda image: image[0], (4,), np.uint8
        ).saveAsTif(shared_path / "all.tif")
    with pytest.raises(TypeError):
        images.saveAsTif(shared_path / "all.tif", overwrite="no")
    assert os.listdir(shared_path) == []


# -- local ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_changed_byte_is_found(tsc, comm, shared_path):
    path = Path(shared_path / "all.tif")
    loaded(tsc, numbers((5, 3, 3), "u1")).saveAsTif(path)
    if comm.rank == 0:
        good = path.read_bytes()
        for place in range(len(good)):
            path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
            try:
                found = verify(path)
            except ValueError:  # so damaged that it is no longer ours
                continue
            assert not found.ok, place
        for stop in (len(good) - 1, len(good) // 2, 300):
            path.write_bytes(good[:stop])
            try:
                assert not verify(path).ok
            except ValueError:
                continue
        path.write_bytes(good + b"\0")
        assert "bytes, not" in verify(path).problems[0]
    comm.Barrier()


# Of the baseline and of SampleFormat: libtiff warns of tags that it does not know.
KNOWN_TAGS = {256, 257, 258, 259, 262, 270, 273, 277, 278, 279, 282, 283, 296, 339}


@pytest.mark.parametrize("dtype", ["u1", "f4", "i8"])
def test_other_programs_read_it_without_a_warning(tsc, comm, shared_path, dtype):
    import tifffile

    images = loaded(tsc, numbers((3, 4, 5, 2), dtype))
    images.saveAsTif(shared_path / "all.tif")
    images.saveAsTifs(shared_path / "each")
    for path in [shared_path / "all.tif", *(shared_path / "each").glob("*.tif")]:
        with tifffile.TiffFile(path) as file:
            tags = [tag.code for page in file.pages for tag in page.tags]
        assert set(tags) <= KNOWN_TAGS | {305}
        if comm.rank == 0 and shutil.which("tiffinfo"):
            told = subprocess.run(["tiffinfo", "-d", path], capture_output=True, check=True)
            assert told.stderr == b""
    comm.Barrier()


def test_files_whose_mark_is_a_tag_are_known(comm, tmp_path):
    """As they were written before."""
    image = numbers((1, 1, 4, 5), "u1")
    layout = StackLayout(image.shape, image.dtype, {})

    def head(first, structure):
        mark = pack_mark(first + 20, first, 20, 4096, structure, [zlib.crc32(image.tobytes())])
        return first_table([*layout._page_tags(first), Tag(65280, 7, mark)], False, 0, b"")

    first = len(head(0, 0))
    content = head(first, zlib.crc32(head(first, 0))) + image.tobytes()
    path = tmp_path / "old.tif"
    path.write_bytes(content)
    assert verify(path).ok
    path.write_bytes(content[:-1] + b"!")
    assert not verify(path).ok


def test_where_it_becomes_a_bigtiff(comm, shared_path):
    """By arithmetic: 4 GiB of holes, of which only the ends are written."""
    import tifffile

    layout = StackLayout((70_000, 1, 256, 256), np.dtype("u1"), {})
    assert layout.big
    assert not layout.opens_in_imagej
    assert not StackLayout((60_000, 1, 256, 256), np.dtype("u1"), {}).big
    assert StackLayout((60_000, 1, 256, 256), np.dtype("u1"), {}).opens_in_imagej
    if comm.rank == 0:
        path = shared_path / "big.tif"
        with open(path, "xb") as file:
            file.write(layout.head([0] * layout._pieces(), layout.first))
            file.truncate(layout.first + layout.pixel_bytes)
            file.seek(0, 2)
            for part in layout.tables():
                file.write(part)
        assert path.stat().st_size == layout.file_bytes > 1 << 32
        with open(path, "rb") as file:
            assert read_mark(file).pixel_bytes == layout.pixel_bytes
        with tifffile.TiffFile(path) as file:
            assert file.is_bigtiff
            assert len(file.pages) == 70_000
            assert file.series[0].shape == (70_000, 256, 256)
            last = file.pages[69_999]
            assert last.dataoffsets[0] == layout.first + 69_999 * 65_536
    comm.Barrier()


def test_what_no_tiff_holds():
    with pytest.raises(ValueError, match="one strip"):
        StackLayout((1, 1, 1 << 16, 1 << 16), np.dtype("u1"), {})
    with pytest.raises(TypeError, match="bool"):
        StackLayout((1, 1, 2, 2), np.dtype("?"), {})
    with pytest.raises(ValueError, match="no axis of length 0"):
        StackLayout((0, 1, 2, 2), np.dtype("u1"), {})
