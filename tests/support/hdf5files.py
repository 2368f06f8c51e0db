"""What the tests of HDF5 output share: values, and files written in many ways."""

import itertools
import math
import zlib

import h5py
import numpy as np

from mpimages.writers.hdf5.writer import hdf5_writer
from mpimages.writers.output.staging import staged


def values(shape, dtype="u2"):
    return (np.arange(math.prod(shape)).reshape(shape) % 120).astype(dtype)


def laid_out(array, layout):
    return array if layout == "series" else np.moveaxis(array, -1, 0)


def save(comm, path, array, cuts, as_images=False, dataset="series", **options):
    """Write `array` with its pixels (or images) cut near `cuts`, dealt out to the ranks."""
    with staged(comm, path, "hdf5") as where:
        writer = hdf5_writer(comm, where, dataset, array.shape, array.dtype, **options)
        blocks = cut(writer, array, cuts, as_images)
        write = writer.write_images if as_images else writer.write
        for first, block in blocks[comm.rank :: comm.size]:
            write(first, block)
        writer.finish()
        writer.close()


def cut(writer, array, cuts, as_images=False):
    """The array as (first, block) that the writer takes, cut at the next places that it allows."""
    rows = np.moveaxis(array, -1, 0) if as_images else array.reshape(-1, array.shape[-1])
    grain = writer.image_grain if as_images else writer.grain
    places = {-(-place // grain) * grain for place in cuts}
    bounds = sorted({0, len(rows), *(place for place in places if place < len(rows))})
    return [(first, rows[first:stop]) for first, stop in itertools.pairwise(bounds)]


def load(path, dataset="series"):
    with h5py.File(path, "r") as file:
        return file[dataset][()], dict(file[dataset].attrs), file[dataset].chunks


def assert_sound(path, dataset="series"):
    """The checksums in the file are those of what h5py reads from it."""
    found, attributes, _ = load(path, dataset)
    content = found.astype(found.dtype.newbyteorder("<")).tobytes()
    piece = int(attributes["checksum_piece"])
    expected = [zlib.crc32(content[a : a + piece]) for a in range(0, len(content), piece)]
    assert attributes["checksum"].dtype == np.uint32
    assert attributes["checksum"].tolist() == expected
