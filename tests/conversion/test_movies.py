"""suite2p's folders and CaImAn's memory-mapped files: what lies there, by NumPy alone."""

import json
import pickletools

import numpy as np
import pytest

from mpimages import FormatError, ThunderContext, verify
from mpimages.writers.flat import FlatWriter
from mpimages.writers.movies import TurnedPixels, pickled

from ..support.data import DTYPES, moved, recording, same_bits, spread, write_movie
from .test_saving import contents

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

SUITE2P = {"fs": 30}


def planes_of(path, count, dims):
    """The images of a folder of suite2p, as its own reader of binaries has them."""
    number = dims[2] if len(dims) == 3 else 1
    planes = [
        np.memmap(path / f"plane{k}" / "data.bin", "<i2", "r", shape=(count, *dims[:2]))
        for k in range(number)
    ]
    return planes[0] if len(dims) == 2 else np.stack(planes, -1)


def ops_of(path, plane=0):
    return np.load(path / f"plane{plane}" / "ops.npy", allow_pickle=True).item()


def mapped(path, name, count, dims, order):
    """The images of CaImAn's file: a matrix of pixels by times, unfolded in order 'F'."""
    rows, columns, pages = (*dims, 1)[:3]
    name += f"_d1_{rows}_d2_{columns}_d3_{pages}_order_{order}_frames_{count}.mmap"
    pixels = int(np.prod(dims))
    matrix = np.memmap(path / name, "<f4", "r", shape=(pixels, count), order=order)
    return np.moveaxis(np.array(matrix).reshape((*dims, count), order="F"), -1, 0)


def fitting(count, dims, dtype, seed=0):
    """Values of any dtype that int16 holds."""
    array = recording(count, dims, dtype, seed)
    if array.dtype.kind == "f":
        return array
    low, high = (0 if array.dtype.kind == "u" else -32768), min(32767, np.iinfo(dtype).max)
    return np.random.RandomState(seed).randint(low, high + 1, array.shape).astype(dtype)


def test_suite2p_of_every_dtype(tsc, shared_path):
    for number, dtype in enumerate(DTYPES):
        dims = ((4, 5), (3, 4, 2), (1, 6), (5, 4, 1))[number % 4]
        count = (7, 1, 5)[number % 3]
        array, path = fitting(count, dims, dtype, number), shared_path / dtype
        spread(tsc, array).saveAsSuite2p(path, **SUITE2P)
        expected = np.rint(array.astype(np.float64)).astype(np.int16)
        assert same_bits(planes_of(path, count, dims), expected)
        if dims[-1] > 1 or len(dims) == 2:
            assert same_bits(tsc.loadImages(path).toArray(), expected)
        if tsc.rank == 0:
            found = verify(path)
            assert (found.ok, found.kind) == (True, "suite2p"), found
        tsc.comm.Barrier()


def test_mmap_of_every_dtype(tsc, shared_path):
    for number, dtype in enumerate(DTYPES):
        dims = ((4, 5), (3, 4, 2), (1, 6), (5, 4, 1))[number % 4]
        count, order = (7, 1, 5)[number % 3], "CF"[number % 2]
        array, path = recording(count, dims, dtype, number), shared_path / dtype
        spread(tsc, array).saveAsMmap(path, order, name="a_b")
        expected = array.astype(np.float32)
        assert same_bits(mapped(path, "a_b", count, dims, order), expected)
        read = tsc.loadImages(path).toArray()
        assert same_bits(read.reshape(expected.shape), expected)
        if tsc.rank == 0:
            found = verify(path)
            assert (found.ok, found.kind, found.files) == (True, "mmap", 2), found
        tsc.comm.Barrier()


def test_what_ops_say(tsc, shared_path):
    images = spread(tsc, recording(6, (4, 5, 3), "uint8"))
    images.metadata.update(frameInterval=0.25, pixelSize=(2.0, 1.0, 5.0), unit="um")
    images.saveAsSuite2p(shared_path / "s", tau=0.7)
    for plane in range(3):
        ops = ops_of(shared_path / "s", plane)
        assert ops == {
            "nplanes": 3, "nchannels": 1, "functional_chan": 1, "fs": 4.0, "do_registration": 0,
            "Ly": 4, "Lx": 5, "nframes": 6, "yrange": [0, 4], "xrange": [0, 5], "tau": 0.7,
            "aspect": 0.5,
        }  # fmt: skip
        assert {type(value) for value in ops.values()} == {int, float, list}
    loaded = tsc.loadImages(shared_path / "s")
    told = {"frameInterval": 0.25, "pixelSize": (2.0, 1.0, 5.0), "unit": "um"}
    assert loaded.metadata == told
    one = tsc.loadImages(shared_path / "s" / "plane1")
    assert one.metadata == {**told, "pixelSize": (2.0, 1.0)}
    assert same_bits(one.toArray(), images.planes(1).toArray().astype(np.int16))
    images.saveAsMmap(shared_path / "m")
    assert tsc.loadImages(shared_path / "m").metadata == told
    conf = json.loads((shared_path / "s" / "conf.json").read_text())
    assert conf["metadata"] == {**images.metadata, "pixelSize": [2.0, 1.0, 5.0]}
    images.saveAsSuite2p(shared_path / "given", fs=np.float32(7))
    assert ops_of(shared_path / "given")["fs"] == 7
    assert "tau" not in ops_of(shared_path / "given")


def test_a_folder_of_suite2p_itself(tsc, comm, shared_path):
    array = recording(6, (4, 5, 12), "int16")
    path = shared_path / "s"
    spread(tsc, array).saveAsSuite2p(path, **SUITE2P)
    comm.Barrier()
    if comm.rank == 0:
        (path / "conf.json").unlink()  # which suite2p does not write
        (path / "combined").mkdir()
        np.save(path / "combined" / "F.npy", np.zeros(3))
    comm.Barrier()
    assert same_bits(tsc.loadImages(path).toArray(), array)
    assert same_bits(tsc.loadImages(path, startIdx=2, stopIdx=4).toArray(), array[2:4])
    assert same_bits(tsc.loadImages(path / "plane11").toArray(), array[..., 11])
    comm.Barrier()
    if comm.rank == 0:
        (path / "plane7" / "data.bin").write_bytes(bytes(4 * 5 * 2 * 5))
    comm.Barrier()
    with pytest.raises(FormatError, match=r"plane7.*5 pages"):
        tsc.loadImages(path)


@pytest.mark.parametrize("dims", [(4, 5), (3, 4, 2), (1, 6), (5, 1, 3)])
def test_runs_of_turned_pixels_have_their_places(dims):
    pixels, dtype = int(np.prod(dims)), np.dtype("<f4")
    layout = TurnedPixels(["x"], pixels, (2,), dtype, pixels, dims=dims)
    values = np.arange(2 * pixels, dtype=dtype).reshape(pixels, 2)
    for step in range(1, pixels + 1):
        file = np.zeros(2 * pixels, dtype)
        for first in range(0, pixels, step):
            block = values[first : first + step]
            for run in layout.runs(first, first + len(block)):
                part = block[run.index]
                assert part.nbytes == run.nbytes
                file[run.position // 4 : (run.position + run.nbytes) // 4] += part.reshape(-1)
        turned = values.reshape(*dims, 2).transpose(*range(len(dims))[::-1], -1)
        assert np.array_equal(file, turned.reshape(-1))


def test_ops_are_plain_and_known_to_every_numpy():
    content = pickled({"fs": 30.0, "Ly": 4})
    names = [
        str(argument)
        for opcode, argument, _ in pickletools.genops(content[content.index(b"\n") + 1 :])
        if opcode.name == "GLOBAL"
    ]
    assert names == ["numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"]


def test_the_bytes_depend_on_no_rank_and_no_budget(tsc, comm, shared_path):
    array = np.random.RandomState(3).randint(0, 32768, (40, 128, 96)).astype(np.uint16)
    if comm.rank == 0:
        write_movie(shared_path / "movie", array)
    comm.Barrier()
    made = {
        "suite2p": lambda images, path: images.saveAsSuite2p(path, **SUITE2P),
        "C": lambda images, path: images.saveAsMmap(path),
        "F": lambda images, path: images.saveAsMmap(path, "F"),
    }
    with ThunderContext(comm, memory="2MB") as small:
        for name, save in made.items():
            save(small.loadImages(shared_path / "movie"), shared_path / f"{name}-small")
            save(tsc.loadImages(shared_path / "movie").cache(), shared_path / f"{name}-large")
    if comm.rank == 0:
        with ThunderContext(_alone(), memory="1GB") as one:
            for name, save in made.items():
                save(one.loadImages(shared_path / "movie"), shared_path / f"{name}-one")
        for name in made:
            expected = contents(shared_path / f"{name}-one")
            assert contents(shared_path / f"{name}-small") == expected
            assert contents(shared_path / f"{name}-large") == expected
        assert same_bits(
            planes_of(shared_path / "suite2p-one", 40, (128, 96)), array.astype(np.int16)
        )
        for order in "CF":
            found = mapped(shared_path / f"{order}-one", "images", 40, (128, 96), order)
            assert same_bits(found, array.astype(np.float32))
    comm.Barrier()


def _alone():
    from mpi4py import MPI

    return MPI.COMM_SELF


def test_filtered_computed_and_binned(tsc, shared_path):
    array, _ = moved(12, (9, 8))
    images = spread(tsc, array)
    some = images.filter(lambda key, value: key % 3 != 1)
    cases = {
        "filtered": (some, array[np.arange(12) % 3 != 1]),
        "renumbered": (some.renumber(), array[np.arange(12) % 3 != 1]),
        "computed": (images.apply(lambda image: image.T / 2), array.transpose(0, 2, 1) / 2),
        "binned": (images.timeBin(2, how="sum"), array.reshape(6, 2, 9, 8).sum(1)),
        "pair": (images.minus(images), 0 * array),
        "cached": (images.plus(1).cache(), array + 1),
    }  # fmt: skip
    for name, (made, expected) in cases.items():
        count, *dims = expected.shape
        made.saveAsSuite2p(shared_path / name, **SUITE2P)
        found = planes_of(shared_path / name, count, tuple(dims))
        assert same_bits(found, np.rint(expected).astype(np.int16)), name
        for order in "CF":
            made.saveAsMmap(shared_path / f"{name}{order}", order)
            found = mapped(shared_path / f"{name}{order}", "images", count, tuple(dims), order)
            assert same_bits(found, expected.astype(np.float32)), name
    for name, keys in (
        ("filtered", np.flatnonzero(np.arange(12) % 3 != 1)),
        ("renumbered", range(8)),
    ):
        for ending in ("", "C", "F"):
            conf = json.loads((shared_path / f"{name}{ending}" / "conf.json").read_text())
            assert conf["index"] == list(keys)


def test_what_does_not_fit_is_named_on_all_ranks(tsc, shared_path):
    array = np.zeros((5, 4, 6), np.float64)
    for place, value, shown in (
        ((3, 2, 1), 32767.5, r"image 3 has the value 32767\.5,.*int16.*clip"),
        ((4, 0, 0), -32768.6, r"image 4 has the value -32768\.6,.*int16.*clip"),
        ((0, 3, 5), np.nan, r"image 0 has the value nan.*apply\(np.nan_to_num\)"),
        ((1, 3, 5), np.inf, "image 1 has the value inf.*int16.*clip"),
    ):
        wrong = array.copy()
        wrong[place] = value
        with pytest.raises(OverflowError, match=shown):
            spread(tsc, wrong).saveAsSuite2p(shared_path / "s", **SUITE2P)
    edges = np.array([[[-32768.5, 32767.4], [0.5, 1.5]]])
    spread(tsc, edges).saveAsSuite2p(shared_path / "edges", **SUITE2P)
    assert planes_of(shared_path / "edges", 1, (2, 2)).tolist() == [[[-32768, 32767], [0, 2]]]
    for dtype, value in (
        ("uint16", 32768),
        ("uint64", 2**63),
        ("int64", -(2**40)),
        ("float16", 4e4),
    ):
        with pytest.raises(OverflowError, match="image 2 has"):
            wrong = np.zeros((3, 2, 2), dtype)
            wrong[2, 1, 1] = value
            spread(tsc, wrong).saveAsSuite2p(shared_path / "s", **SUITE2P)
    array[2, 0, 3] = 1e300
    for order in "CF":
        with pytest.raises(OverflowError, match=r"image 2 has the value 1e\+300.*float32"):
            spread(tsc, array).saveAsMmap(shared_path / "s", order)
    array[2, 0, 3], array[1, 1, 1] = np.inf, np.nan
    spread(tsc, array).saveAsMmap(shared_path / "finite")
    assert same_bits(
        mapped(shared_path / "finite", "images", 5, (4, 6), "C"), array.astype(np.float32)
    )
    tsc.comm.Barrier()
    assert sorted(path.name for path in shared_path.iterdir()) == ["edges", "finite"]


def test_what_is_refused(tsc, shared_path):
    images = spread(tsc, recording(3, (4, 5), "uint8"))
    with pytest.raises(ValueError, match=r"does not tell its frameInterval: give fs="):
        images.saveAsSuite2p(shared_path / "s")
    lines = images.apply(lambda image: image[0])
    for save in (
        lambda: lines.saveAsSuite2p(shared_path / "s", **SUITE2P),
        lambda: lines.saveAsMmap(shared_path / "s"),
        lambda: lines.saveAsMmap(shared_path / "s", "F"),
    ):
        with pytest.raises(ValueError, match="images or volumes, not records of dims"):
            save()
    none = images.filterOnKeys(lambda key: key < 0)
    for save in (
        lambda: none.saveAsSuite2p(shared_path / "s", **SUITE2P),
        lambda: none.saveAsMmap(shared_path / "s"),
        lambda: none.saveAsMmap(shared_path / "s", "F"),
    ):
        with pytest.raises(ValueError, match="no records"):
            save()
    for name in ("a/b", ".a", ""):
        with pytest.raises(ValueError, match="name"):
            images.saveAsMmap(shared_path / "s", name=name)
    assert not any(shared_path.iterdir())
    tsc.comm.Barrier()


def test_overwriting_only_what_is_ours(tsc, comm, shared_path):
    path = shared_path / "s"
    volumes = spread(tsc, recording(6, (4, 5, 3), "uint8"))
    volumes.saveAsSuite2p(path, **SUITE2P)
    images = volumes.planes(1)
    with pytest.raises(FileExistsError):
        images.saveAsSuite2p(path, **SUITE2P)
    images.saveAsMmap(path, overwrite=True)
    images.saveAsMmap(path, "F", overwrite=True)
    images.saveAsBinarySeries(path, overwrite=True)
    images.saveAsSuite2p(path, **SUITE2P, overwrite=True)
    assert tsc.loadImages(path).dims.count == (4, 5)
    comm.Barrier()
    if comm.rank == 0:  # as suite2p puts its results there
        np.save(path / "plane0" / "F.npy", np.zeros(3))
        assert verify(path).problems == ("plane0/F.npy: is not part of this output",)
    comm.Barrier()
    with pytest.raises(FileExistsError, match=r"plane0/F\.npy"):
        volumes.saveAsSuite2p(path, **SUITE2P, overwrite=True)
    comm.Barrier()
    assert (path / "plane0" / "F.npy").exists()
    comm.Barrier()


def test_a_job_that_resumes_finds_another_kind_of_output(tsc, shared_path):
    images, out = spread(tsc, recording(3, (4, 5), "uint8")), shared_path / "o"
    images.saveAsMmap(out)
    for save in (
        lambda: images.saveAsBinarySeries(out, resume=True),
        lambda: images.saveAsSuite2p(out, **SUITE2P, resume=True),
        lambda: images.saveAsMmap(out, "F", resume=True),
    ):
        with pytest.raises(FileExistsError, match=r"another kind of output|but holds"):
            save()


def test_damage_is_found(tsc, comm, shared_path):
    volumes = spread(tsc, recording(6, (4, 5, 3), "uint8"))
    volumes.saveAsSuite2p(shared_path / "s", **SUITE2P)
    volumes.saveAsMmap(shared_path / "c")
    for path in (shared_path / "s", shared_path / "c") if comm.rank == 0 else ():
        for file in [one for one in path.rglob("*") if one.is_file()]:
            right = file.read_bytes()
            for place in (0, len(right) // 2, len(right) - 3):
                content = bytearray(right)
                content[place] ^= 4
                file.write_bytes(content)
                problems = verify(path).problems
                assert problems
                assert problems[0].startswith(f"{file.relative_to(path)}: "), problems
            file.write_bytes(right[:-1])
            assert verify(path).problems[0].startswith(f"{file.relative_to(path)}: ")
            file.write_bytes(right)
            if file.name != "conf.json":
                file.unlink()
                assert verify(path).problems == (f"{file.relative_to(path)}: is missing",)
                file.write_bytes(right)
        assert verify(path).ok
    comm.Barrier()


def test_an_interrupted_job_goes_on(tsc, comm, shared_path, monkeypatch):
    array = np.random.RandomState(3).randint(0, 32768, (30, 32, 24, 2)).astype(np.uint16)
    makers = {
        "s": lambda images, path, **given: images.saveAsSuite2p(path, **SUITE2P, **given),
        "C": lambda images, path, **given: images.saveAsMmap(path, **given),
        "F": lambda images, path, **given: images.saveAsMmap(path, "F", **given),
    }
    other = {
        "s": lambda path: images.saveAsSuite2p(path, fs=31, resume=True),
        "C": lambda path: images.saveAsMmap(path, name="other", resume=True),
        "F": lambda path: images.saveAsMmap(path, "C", resume=True),
    }
    images = tsc.loadImagesFromArray(array)
    write = FlatWriter.write

    def fail_late(self, first, block):
        if first > self.layout.count // 3:
            raise RuntimeError("the power is off")
        write(self, first, block)

    for name, save in makers.items():
        path, whole = shared_path / name, shared_path / f"{name}-whole"
        save(images, whole)
        with monkeypatch.context() as patched:
            patched.setattr(FlatWriter, "write", fail_late)
            with pytest.raises(RuntimeError, match="power"):
                save(images, path, resume=True, memory="300kB")
        assert not path.exists()
        with pytest.raises(FileExistsError, match="cannot be resumed"):
            other[name](path)
        with pytest.raises((OSError, ValueError)):
            tsc.loadImages(shared_path / f".{name}.mpimages-partial")
        with monkeypatch.context() as patched:
            patched.setattr(FlatWriter, "finish", _fail)
            with pytest.raises(RuntimeError, match="finish"):
                save(images, path, resume=True)
        comm.Barrier()
        if comm.rank == 0:  # damage of what was written is found, and that is written again
            damaged = max(
                (one for one in shared_path.glob(f".{name}.*/**/*") if one.is_file()),
                key=lambda one: one.stat().st_size,
            )
            content = bytearray(damaged.read_bytes())
            content[len(content) // 3] ^= 1
            damaged.write_bytes(content)
        comm.Barrier()
        save(images, path, resume=True, memory="400kB")
        if comm.rank == 0:
            assert contents(path) == contents(whole)
        comm.Barrier()
        save(images, path, resume=True)
        with pytest.raises(FileExistsError, match="is complete, but"):
            other[name](path)
        with pytest.raises(FileExistsError, match="is complete, but has other values"):
            save(images.crop((0, 0, 0), (32, 24, 2)).plus(1), path, resume=True)
        with pytest.raises(FileExistsError, match="is complete, but holds"):
            save(images.planes(0), path, resume=True)
        with pytest.raises(FileExistsError, match="another kind"):
            save(images, _series(images, shared_path / f"{name}-series"), resume=True)


def _fail(self):
    raise RuntimeError("finish")


def _series(images, path):
    images.saveAsBinarySeries(path)
    return path
