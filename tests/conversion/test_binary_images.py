"""Flat binary images: what Thunder wrote, and read again by every reader."""

import json

import numpy as np
import pytest

from mpimages import verify

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]


def test_what_lies_there(tsc, shared_path):
    array = recording(3, (4, 5), "int16")
    spread(tsc, array).filterOnKeys(lambda key: key != 1).saveAsBinaryImages(shared_path / "b")
    out = shared_path / "b"
    names = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert names == {"image-00000.bin", "image-00002.bin", "conf.json", "SUCCESS"}
    assert json.loads((out / "conf.json").read_text()) == {"dims": [4, 5], "dtype": "int16"}
    assert (out / "SUCCESS").read_bytes() == b""
    # As Thunder 0.6 reads it.
    stored = np.fromfile(out / "image-00002.bin", "int16").reshape((4, 5), order="F")
    assert same_bits(stored, array[2])


def test_read_back(tsc, shared_path):
    for number, dtype in enumerate(DTYPES):
        dims = ((4, 5), (3, 4, 2), (1, 6))[number % 3]
        array = recording(5, dims, dtype, seed=number)
        path = shared_path / dtype
        spread(tsc, array).saveAsBinaryImages(path, prefix="frame")
        assert same_bits(tsc.loadImages(path).toArray(), array)
        if tsc.rank == 0:
            found = verify(path)
            assert found.ok
            assert found.kind == "bin"
            assert found.files == 8
        tsc.comm.Barrier()


def test_in_pieces_and_after_functions(tsc, shared_path):
    array = recording(2, (1500, 2000), "uint16")
    big = spread(tsc, array)
    big.saveAsBinaryImages(shared_path / "big")
    assert same_bits(tsc.loadImages(shared_path / "big").toArray(), array)
    small = big.crop((0, 0), (5, 6)).apply(lambda image: image.T / 2)
    small.saveAsBinaryImages(shared_path / "small")
    half = array[:, :5, :6].transpose(0, 2, 1) / 2
    assert same_bits(tsc.loadImages(shared_path / "small").toArray(), half.copy())


def test_overwrite_only_what_is_ours(tsc, comm, shared_path):
    path = shared_path / "b"
    spread(tsc, recording(6, (4, 5), "uint8")).saveAsBinaryImages(path)
    images = spread(tsc, recording(3, (2, 5), "uint8", seed=2))
    with pytest.raises(FileExistsError):
        images.saveAsBinaryImages(path)
    images.saveAsBinaryImages(path, overwrite=True)
    assert tsc.loadImages(path).count() == 3
    images.saveAsTifs(path, overwrite=True)
    images.saveAsBinaryImages(path, overwrite=True)
    assert tsc.loadImages(path).dims.count == (2, 5)
    comm.Barrier()
    if comm.rank == 0:
        (path / "mine.bin").write_bytes(b"mine")
    comm.Barrier()
    with pytest.raises(FileExistsError, match="mine"):
        images.saveAsBinaryImages(path, overwrite=True)
    assert (path / "mine.bin").exists()
    comm.Barrier()
    lines = images.apply(lambda image: image[0])
    with pytest.raises(ValueError, match="images or volumes"):
        lines.saveAsBinaryImages(shared_path / "lines")
    with pytest.raises(ValueError, match="file name"):
        images.saveAsBinaryImages(shared_path / "p", prefix="a/b")
    assert not (shared_path / "lines").exists()


def test_damage_is_found(tsc, comm, shared_path):
    path = shared_path / "b"
    spread(tsc, recording(3, (4, 5), "uint8")).saveAsBinaryImages(path)
    if comm.rank == 0:
        for name in ("conf.json", "image-00001.bin"):
            content = bytearray((path / name).read_bytes())
            content[3] ^= 1
            (path / name).write_bytes(content)
            (problem,) = verify(path).problems
            assert problem.startswith(f"{name}: ")
            content[3] ^= 1
            (path / name).write_bytes(content)
        (path / "SUCCESS").unlink()
        assert verify(path).problems == ("SUCCESS: is missing",)
    comm.Barrier()
