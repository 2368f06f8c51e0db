"""MATLAB files of version 7.3: what h5py and SciPy make of them, and what mpimages itself does."""

import hashlib
import itertools
import re
import shutil

import h5py
import numpy as np
import pytest

import mpimages
from mpimages import ThunderContext, verify
from mpimages.formats.output_names import MATLAB_BLOCK

from ..support.data import recording, same_bits, spread

ranks = pytest.mark.ranks
few_ranks = pytest.mark.few_ranks
CLASSES = {
    **{name: name for name in ("uint8", "int8", "uint16", "int32", "uint64", "int64")},
    "float32": "single",
    "float64": "double",
    ">i2": "int16",
    ">f4": "single",
}
TOLD = {"pixelSize": (1.5, 0.5), "unit": "µm", "frameInterval": 0.1}


def images_of(tsc, array, **metadata):
    images = spread(tsc, array)
    images.metadata.update(metadata or TOLD)
    return images


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def as_matlab_sees(path, name="images"):
    """The variable's class, and its values with the axes in MATLAB's order."""
    with h5py.File(path) as file:
        assert list(file) == [name]
        assert not file.attrs
        dataset = file[name]
        kind = dataset.attrs.get_id("MATLAB_class")
        text = kind.get_type()
        assert kind.shape == ()
        assert isinstance(text, h5py.h5t.TypeStringID)
        assert not text.is_variable_str()
        assert text.get_cset() == h5py.h5t.CSET_ASCII
        said = dataset.attrs["MATLAB_class"].decode()
        assert text.get_size() == len(said)
        return said, dataset[()].transpose()


def test_the_header_is_as_matlab_has_it(tsc, tmp_path):
    from scipy.io import loadmat, matlab

    path = tmp_path / "o.mat"
    images_of(tsc, recording(4, (7, 5), "uint16")).saveAsMatlab(path)
    head = path.read_bytes()[:520]
    assert head[:19] == b"MATLAB 7.3 MAT-file"
    assert head[:116].isascii()
    assert head[116:124] == bytes(8)
    assert head[124:128] == b"\0\2IM"  # little-endian: 0x0200, and "MI" as a number
    assert head[128:512] == bytes(384)
    assert head[512:] == b"\x89HDF\r\n\x1a\n"
    with h5py.File(path) as file:
        assert file.userblock_size == 512
    with path.open("rb") as file:
        assert matlab.matfile_version(file) == (2, 0)
    with pytest.raises(NotImplementedError, match="HDF reader for matlab"):
        loadmat(path)


@ranks
@few_ranks
@pytest.mark.parametrize("compression", [None, ("gzip", 1)], ids=["plain", "gzip"])
def test_values_classes_and_axes(tsc, comm, shared_path, compression):
    shapes = itertools.cycle([(9, (7, 5)), (1, (7, 5)), (5, (4, 3, 6)), (2, (1, 8))])
    for number, ((dtype, kind), (count, dims)) in enumerate(
        zip(CLASSES.items(), shapes, strict=False)
    ):
        array = recording(count, dims, dtype)
        path = shared_path / f"o{number}.mat"
        images_of(tsc, array).saveAsMatlab(path, "movie", compression)
        if comm.rank == 0:
            said, values = as_matlab_sees(path, "movie")
            assert said == kind
            assert same_bits(np.moveaxis(values, -1, 0), array.astype(values.dtype))
            assert verify(path).ok
        again = tsc.loadImages(path, dataset="movie")
        assert same_bits(again.toArray(), array.astype(array.dtype.newbyteorder("=")))


@ranks
@few_ranks
def test_it_comes_back_with_all_that_was_known(tsc, comm, shared_path):
    array = recording(12, (7, 5, 3), "uint16")
    told = {**TOLD, "pixelSize": (1.5, 0.5, 2.0)}
    kept = images_of(tsc, array, **told).filterOnKeys(lambda key: key % 3 > 0)
    path = shared_path / "o.mat"
    kept.saveAsMatlab(path)
    again = tsc.loadImages(path)
    assert again.dims.count == (7, 5, 3)
    assert again.metadata == told
    assert same_bits(again.toArray(), array[[1, 2, 4, 5, 7, 8, 10, 11]])
    series = again.toSeries()
    assert same_bits(series.toArray(), np.moveaxis(again.toArray(), 0, -1))
    with pytest.raises(ValueError, match="MATLAB has images with the columns first"):
        tsc.loadSeries(path, dataset="images", inputFormat="hdf5")
    movie = mpimages.open(path)
    assert movie.axes == ("time", "row", "column", "page")
    assert same_bits(np.asarray(movie[2]), array[4])
    undeclared = images_of(tsc, array[..., 0]).apply(lambda image: image[:4] * 2.0)
    for name, images, expected in [
        ("undeclared", undeclared, array[:, :4, :, 0] * 2.0),
        ("cached", undeclared.cache(), array[:, :4, :, 0] * 2.0),
        ("binned", images_of(tsc, array).timeBin(4, how="sum"),
         array.reshape(3, 4, 7, 5, 3).sum(1)),
        ("turned", images_of(tsc, array[..., 0]).rotate(), np.rot90(array[..., 0], axes=(1, 2))),
    ]:  # fmt: skip
        images.saveAsMatlab(shared_path / f"{name}.mat")
        assert np.array_equal(tsc.loadImages(shared_path / f"{name}.mat").toArray(), expected)


@ranks
@pytest.mark.parametrize("compression", [None, "gzip"], ids=["plain", "gzip"])
def test_the_same_bytes_on_any_number_of_ranks(tsc, comm, shared_path, compression, monkeypatch):
    array = recording(13, (31, 17, 2), "uint16")
    alone = ThunderContext(type(comm).Split(comm, comm.rank, 0))
    if comm.rank == 0:
        images_of(alone, array).saveAsMatlab(shared_path / "one.mat", compression=compression)
    comm.Barrier()
    images_of(tsc, array).saveAsMatlab(shared_path / "all.mat", compression=compression)
    monkeypatch.setattr("mpimages.engine.runner.BATCH_BYTES", 1)
    images_of(tsc, array).saveAsMatlab(
        shared_path / "small.mat", compression=compression, memory="2MB"
    )
    monkeypatch.setenv("MPIMAGES_HDF5", "posix")  # where h5py has MPI, those before are mpio
    images_of(tsc, array).saveAsMatlab(shared_path / "posix.mat", compression=compression)
    monkeypatch.setenv("MPIMAGES_STRIPE", "64KiB")
    images_of(tsc, array).saveAsMatlab(shared_path / "stripe.mat", compression=compression)
    if comm.rank == 0:
        each = {digest(path) for path in shared_path.glob("*.mat")}
        assert len(each) == 1


class Stop(Exception):
    """What the steps of these tests raise."""


@ranks
@few_ranks
@pytest.mark.parametrize("form", [{}, {"compression": "gzip"}], ids=["plain", "gzip"])
def test_a_job_is_resumed(tsc, comm, shared_path, form, monkeypatch):
    monkeypatch.setattr("mpimages.conversion.resume.FLUSH_LEAST", -1.0)
    monkeypatch.setattr("mpimages.engine.runner.BATCH_BYTES", 1)
    array = recording(12, (6, 5), "uint16")
    path = shared_path / "o.mat"

    def save(limit, where=path, method="saveAsMatlab", **options):
        calls = iter(range(100))

        def step(image):
            if next(calls) >= limit:
                raise Stop
            return image

        images = images_of(tsc, array).apply(step, dims=(6, 5), dtype="uint16")
        getattr(images, method)(where, **{**form, **options})

    with pytest.raises(Stop):
        save(1, resume=True)
    assert not path.exists()
    with pytest.raises(FileExistsError, match="options"):
        save(100, resume=True, name="other")
    save(100, resume=True)
    save(100, shared_path / "whole.mat")
    if comm.rank == 0:
        assert digest(path) == digest(shared_path / "whole.mat")
    save(100, resume=True)  # it is complete
    with pytest.raises((FileExistsError, ValueError), match="dataset"):
        save(100, resume=True, name="other")
    turned = images_of(tsc, np.ascontiguousarray(array.swapaxes(1, 2)))
    turned.saveAsHDF5(shared_path / "o.h5", "images", "images", **form)
    with pytest.raises(FileExistsError, match="no file of MATLAB"):
        save(100, shared_path / "o.h5", resume=True)


def test_verify_finds_changes_and_what_is_not_ours_is_not_replaced(tsc, tmp_path):
    images = images_of(tsc, recording(5, (6, 7), "uint16"))
    path, changed = tmp_path / "o.mat", tmp_path / "changed.mat"
    images.saveAsMatlab(path)
    found = verify(path)
    assert (found.ok, found.kind) == (True, "hdf5")
    assert found.bytes == 512 + 5 * 6 * 7 * 2
    content = path.read_bytes()
    with h5py.File(path) as file:
        begin = file["images"].id.get_offset()
    for place, says in [
        (5, r"bytes \[0, 512\)"),
        (127, r"bytes \[0, 512\)"),
        (begin + 3, r"bytes \[0, 420\)"),
        (content.index(b"uint16"), "MATLAB_class"),
    ]:
        damaged = bytearray(content)
        damaged[place] ^= 1
        changed.write_bytes(damaged)
        assert any(re.search(says, one) for one in verify(changed).problems), place
    images.saveAsMatlab(changed, overwrite=True)  # it holds nothing but our dataset
    changed.write_bytes(b"M" + content[1:].replace(b"mpimages, HDF5", b"somebody, HDF5"))
    with pytest.raises(FileExistsError, match="refusing"):
        images.saveAsMatlab(changed, overwrite=True)
    shutil.copy(path, changed)
    with h5py.File(changed, "r+") as file:
        file["another"] = np.arange(3)
    with pytest.raises(FileExistsError, match="another"):
        images.saveAsMatlab(changed, overwrite=True)
    assert verify(changed).problems
    images.saveAsHDF5(path, overwrite=True)
    images.saveAsMatlab(path, overwrite=True)
    assert path.read_bytes() == content


def test_how_files_of_matlab_are_found(tsc, tmp_path):
    from scipy.io import savemat

    array = recording(5, (6, 7), "uint16")
    for name in ("run1", "run0"):
        images_of(tsc, array).saveAsMatlab(tmp_path / f"{name}.mat")
    assert same_bits(tsc.loadImages(tmp_path).toArray(), np.concatenate([array, array]))
    assert same_bits(tsc.loadImages(str(tmp_path / "*1.mat")).toArray(), array)
    images_of(tsc, array[:2]).saveAsTif(tmp_path / "movie.tif")  # .mat beside it: not images
    assert same_bits(tsc.loadImages(tmp_path).toArray(), array[:2])
    savemat(tmp_path / "old.mat", {"x": array})
    content = (tmp_path / "run0.mat").read_bytes().replace(b"mpimages, HDF5", b"PCWIN64 , HDF5")
    (tmp_path / "other.mat").write_bytes(content)
    for name in ("old.mat", "other.mat"):  # of which the axes are not known
        with pytest.raises(ValueError, match="cannot be told"):
            tsc.loadImages(tmp_path / name)


@ranks
@few_ranks
def test_what_matlab_does_not_take(tsc, shared_path):
    images, out = images_of(tsc, recording(3, (4, 5), "uint8")), shared_path / "o.mat"
    for name in ("", "1a", "_a", "a-b", "a/b", "a" * 64, "end", "ä", "a\n"):
        with pytest.raises(ValueError, match="name"):
            images.saveAsMatlab(out, name)
    with pytest.raises(TypeError, match="name"):
        images.saveAsMatlab(out, 3)
    half = images_of(tsc, recording(3, (4, 5), "float16"))
    with pytest.raises(ValueError, match="no class for float16; astype"):
        half.saveAsMatlab(out)
    half.apply(lambda image: image.astype("float32")).saveAsMatlab(out)
    with pytest.raises(ValueError, match="rows and columns"):
        images.apply(lambda image: image[0]).saveAsMatlab(out, overwrite=True)
    assert MATLAB_BLOCK.isascii()
