"""Arrays whose pages are of channels in turn, or of volumes with planes that are left out."""

from __future__ import annotations

import itertools
import json

import h5py
import numpy as np
import pytest

from mpimages.readers import Options, get
from mpimages.readers.page_handle import page_grain
from tests.support.data import recording, same_bits
from tests.support.recordings import read_all

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

TIMES, PLANES, CHANNELS, DIMS = 5, 4, 2, (6, 7)
KINDS = ["npy", "fortran", "flat", (1, 6, 7), (3, 6, 7), (8, 4, 3), (7, 6, 7), (40, 6, 7)]
ORDERS = ["".join(order) for order in itertools.permutations("CZT")]


def pages_of(array, order):
    """(T, Z, C, Y, X) as pages, in an order that names the fastest axis first."""
    letters = order[::-1]
    return array.transpose([*("TZC".index(letter) for letter in letters), 3, 4]).reshape(-1, *DIMS)


def write(comm, path, pages, kind, axis=0):
    """Returns the path; `axis` is where the pages stand."""
    path = path / ("a.npy" if kind in ("npy", "fortran") else "a.h5")
    if comm.rank == 0:
        stored = np.moveaxis(pages, 0, axis)
        if path.suffix == ".npy":
            np.save(path, np.asfortranarray(stored) if kind == "fortran" else stored)
        else:
            chunks = None if kind == "flat" else tuple(np.roll(kind, axis) if axis else kind)
            with h5py.File(path, "w") as file:
                file.create_dataset("a", data=stored, chunks=chunks)
    comm.Barrier()
    return path


def volumes(array, channel, planes=slice(None)):
    """What is to be read."""
    found = np.moveaxis(array[:, planes, channel], 1, -1)
    return found[..., 0] if found.shape[-1] == 1 else found


@pytest.mark.parametrize("kind", KINDS)
def test_pages_in_turn(tsc, shared_path, kind):
    array = recording(TIMES, (PLANES, CHANNELS, *DIMS), "uint16")
    path = write(tsc.comm, shared_path, pages_of(array, "CZT"), kind)
    given = {"axes": "ZYX", "nchannels": CHANNELS, "nplanes": PLANES}
    for channel in range(CHANNELS):
        images = tsc.loadImages(path, channel=channel, **given)
        assert same_bits(images.toArray(), volumes(array, channel))
    assert images.records.chain.source.reads_parts() == (kind in ("npy", "flat"))
    series = shared_path / "series"
    images.saveAsBinarySeries(str(series), memory="20kB")
    found = tsc.loadSeries(str(series)).toArray()
    assert same_bits(found, np.moveaxis(volumes(array, 1), 0, -1))
    some = images.filterOnKeys(lambda key: key in (0, 2, 3))
    assert same_bits(some.toArray(), volumes(array, 1)[[0, 2, 3]])
    assert same_bits(images.max(), volumes(array, 1).max(0))
    for flyback, kept in ((1, slice(3)), (3, slice(1)), ([0, 2], [1, 3])):
        images = tsc.loadImages(path, channel=1, flyback=flyback, **given)
        assert same_bits(images.toArray(), volumes(array, 1, kept))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["npy", "flat", (3, 6, 7), (8, 4, 3), (40, 6, 7)])
@pytest.mark.parametrize("axis", [0, 2])
def test_every_order(comm, shared_path, order, kind, axis):
    array = recording(TIMES, (PLANES, CHANNELS, *DIMS), "uint8")
    path = write(comm, shared_path, pages_of(array, order), kind, axis)
    given = {"axes": "ZYX" if axis == 0 else "YXZ", "nchannels": CHANNELS, "order": order}
    found = read_all(path.suffix[1:].replace("h5", "hdf5"), path, channel=1,
                     nplanes=PLANES, **given)  # fmt: skip
    np.testing.assert_array_equal(found, volumes(array, 1))


def test_by_the_command_line(command, comm, shared_path):
    array = recording(TIMES, (PLANES, CHANNELS, *DIMS), "uint16")
    for kind in ("npy", (3, 6, 7)):
        path = write(comm, shared_path, pages_of(array, "CZT"), kind)
        words = ["--axes", "ZYX", "--nchannels", "2", "--nplanes", "4", "--flyback", "1"]
        found = json.loads(command("info", path, *words, "--channel", "1", "--json"))
        assert (found["images"], found["dims"]) == (TIMES, [6, 7, 3])


def test_what_is_left_over(comm, shared_path):
    pages = recording(11, DIMS, "uint8")
    path = write(comm, shared_path, pages, "npy")
    given = {"axes": "ZYX", "nchannels": 2, "nplanes": 2, "channel": 1}
    with pytest.raises(ValueError, match=r"a\.npy"):
        get("npy").inspect(str(path), Options(**given))
    found = read_all("npy", path, incomplete="drop", **given)
    np.testing.assert_array_equal(
        found, np.moveaxis(pages[:8].reshape(2, 2, 2, *DIMS)[:, :, 1], 1, -1)
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"nchannels": 2}, "axes= with Z in place of T"),
        ({"axes": "ZYX", "nchannels": 2}, "2 channels; choose one by channel=0"),
        ({"axes": "ZYX", "nchannels": 2, "channel": 2}, "no channel 2"),
        ({"axes": "ZYX", "nchannels": 3, "channel": 0}, "not of nchannels=3 channels in turn"),
        ({"axes": "CYX", "nchannels": 2, "channel": 0}, "leave nchannels= out"),
        ({"axes": "ZYX", "order": "CZT"}, "give nchannels= with it"),
        ({"axes": "ZYX", "flyback": 40}, "leave one at least"),
        ({"axes": "TYX", "flyback": 1}, "axes= with Z in place of T"),
        ({"axes": "ZYX", "nchannels": 2, "channel": 0, "nplanes": 7}, "a.npy"),
    ],
)
def test_arguments_without_effect(comm, shared_path, given, told):
    path = write(comm, shared_path, recording(40, DIMS, "uint8"), "npy")
    with pytest.raises(ValueError, match=r"a\.npy") as caught:
        get("npy").inspect(str(path), Options(**given))
    assert told in str(caught.value)


def test_of_a_volume_that_is_cut_in_time_already(comm, shared_path):
    path = write(comm, shared_path, recording(4, DIMS, "uint8"), "npy")
    if comm.rank == 0:
        np.save(path, recording(2, (3, *DIMS), "uint8"))
    comm.Barrier()
    with pytest.raises(ValueError, match="leave flyback= out"):
        get("npy").inspect(str(path), Options(flyback=1))


@pytest.mark.parametrize("grain", [1, 2, 3, 5, 8, 100])
@pytest.mark.parametrize("order", ["CZT", "TZC", "ZTC"])
def test_images_that_share_chunks(grain, order):
    rng = np.random.default_rng(grain)
    for _ in range(5):
        times, planes, channels = rng.integers(1, 7, 3)
        sizes = dict(zip("TZC", (times, planes, channels), strict=True))
        shape = [sizes[letter] for letter in order[::-1]]
        number = np.arange(times * planes * channels).reshape(shape)
        table = number.transpose([order[::-1].index(letter) for letter in "TZC"])[:, :, 0]
        found = page_grain(table, grain)
        chunk = [set((row // grain).tolist()) for row in table]
        clean = [
            step
            for step in range(1, times + 1)
            if not any(
                set().union(*chunk[:border]) & set().union(*chunk[border:])
                for border in range(step, times, step)
            )
        ]
        assert found == (1 if grain == 1 else clean[0])
