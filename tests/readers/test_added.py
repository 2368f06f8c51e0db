"""Readers that other packages add, and what such a package may have wrong."""

from __future__ import annotations

import importlib
import itertools
import json
import sys

import numpy as np
import pytest

from mpimages import FormatError
from mpimages.readers import detect, find_input, registry
from tests.support.data import recording, same_bits

# As CONTRIBUTING.md tells: of a file that is rows, columns and images as text, and then uint16.
READER = '''
import os
import numpy as np
from mpimages import FormatError
from mpimages.readers import Handle, Header, Options, Reader


class ToyReader(Reader):
    """Reads TOY."""

    name = "toy"
    extensions = (".toy",)
    takes = frozenset({"incomplete"})

    def inspect(self, path, options):
        with open(path, "rb") as file:
            head = file.readline()
        try:
            rows, columns, count = map(int, head.split())
        except ValueError:
            raise FormatError(f"{path}: not a TOY file") from None
        whole = (os.path.getsize(path) - len(head)) // (2 * rows * columns)
        if whole < count and options.incomplete is None:
            raise FormatError(f"{path}: has {whole} of {count} images")
        return Header(path, (rows, columns), np.dtype("uint16"), whole, {"frameInterval": 0.5})

    def open(self, path, options, header, scratch=None):
        found = self.inspect(path, options)
        header.require(path, found.dims, found.dtype)
        return ToyHandle(path, header, found.count, scratch)


class ToyHandle(Handle):
    def _read_batch(self, start, stop, out):
        with open(self.path, "rb") as file:
            file.readline()
            values = np.fromfile(file, "<u2", out[0].size * stop)
        out[...] = values.reshape(-1, *out.shape[1:])[start:]
'''
_numbers = itertools.count()


def install(comm, directory, monkeypatch, text=READER, entry="toy = {}:ToyReader", times=1):
    """A package with an entry point, on the path of all ranks; the name of its module."""
    module = f"toy_reader_{next(_numbers)}"
    if comm.rank == 0:
        for number in range(times):
            info = directory / f"{module}_{number}-1.0.dist-info"
            info.mkdir(parents=True)
            name = f"Metadata-Version: 2.1\nName: toy-package-{number}\nVersion: 1.0\n"
            (info / "METADATA").write_text(name)
            points = f"[mpimages.readers]\n{entry.format(module + 'x' * number)}\n"
            (info / "entry_points.txt").write_text(points)
            (directory / f"{module}{'x' * number}.py").write_text(text)
    comm.Barrier()
    monkeypatch.syspath_prepend(directory)
    importlib.invalidate_caches()
    return module


def write(path, images, count=None):
    rows, columns = images.shape[1:]
    head = f"{rows} {columns} {len(images) if count is None else count}\n"
    path.write_bytes(head.encode() + images.astype("<u2").tobytes())


@pytest.fixture
def toys(comm, shared_path):
    """A directory of three files, and their images."""
    images = recording(9, (6, 7), "uint16")
    if comm.rank == 0:
        (shared_path / "rec").mkdir()
        for number, (start, stop) in enumerate([(0, 4), (4, 5), (5, 9)]):
            write(shared_path / "rec" / f"{number}.toy", images[start:stop])
        (shared_path / "rec" / "notes.txt").write_text("none")
    comm.Barrier()
    return images


@pytest.mark.ranks
@pytest.mark.few_ranks
@pytest.mark.parametrize("given", [{}, {"inputFormat": "toy"}])
def test_a_reader_that_is_added(tsc, comm, shared_path, monkeypatch, toys, given):
    install(comm, shared_path / "site", monkeypatch)
    images = tsc.loadImages(shared_path / "rec", **given)
    assert same_bits(images.toArray(), toys)
    assert images.metadata == {"frameInterval": 0.5}
    assert same_bits(images.toSeries().toArray(), np.moveaxis(toys, 0, -1))
    # What cannot be read in part goes through the scratch file.
    monkeypatch.setattr("mpimages.conversion.rounds.HELD_BYTES", 0)
    assert images.plan().way == "frames"
    images.saveAsBinarySeries(str(shared_path / "out"))
    found = tsc.loadSeries(shared_path / "out").toArray()
    assert same_bits(found, np.moveaxis(toys, 0, -1))
    with pytest.raises(ValueError, match=r"channel=0 means nothing for inputFormat='toy'"):
        tsc.loadImages(shared_path / "rec", channel=0)


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_by_the_command_line(comm, shared_path, monkeypatch, toys, command):
    install(comm, shared_path / "site", monkeypatch)
    for given in ([], ["--format", "toy"]):
        said = json.loads(command("info", "rec", "--json", *given))
        assert (said["format"], said["images"], said["dims"]) == ("toy", 9, [6, 7])
    command("stats", "rec", "out")
    command("to-series", "rec", "series", "--format", "toy")
    said = command("info", "rec", "--format", "toys", code=2)
    assert "'toys' is not one of tif, png, stack, hdf5, zarr, npy" in said
    assert ", toy." in said


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_a_file_that_is_cut_off(tsc, comm, shared_path, monkeypatch, toys):
    install(comm, shared_path / "site", monkeypatch)
    if comm.rank == 0:
        write(shared_path / "rec" / "2.toy", toys[5:8], count=4)
    comm.Barrier()
    with pytest.raises(FormatError, match=r"2\.toy: has 3 of 4 images"):
        tsc.loadImages(shared_path / "rec")
    assert same_bits(tsc.loadImages(shared_path / "rec", incomplete="drop").toArray(), toys[:8])


@pytest.mark.ranks
@pytest.mark.parametrize("where", ["import", "open", "read"])
def test_a_reader_that_fails_on_one_rank(tsc, comm, shared_path, monkeypatch, toys, where):
    """All ranks raise alike, and the context goes on."""
    last = comm.size - 1
    fails = f"from mpi4py import MPI\nfails = MPI.COMM_WORLD.rank == {last}\n"
    raising = "        if fails: raise RuntimeError('one rank')\n"
    if where == "import":
        text = fails + "if fails: raise RuntimeError('one rank')\n" + READER
    else:
        name = {"open": "found = self", "read": 'with open(self.path, "rb")'}[where]
        text = fails + READER.replace(f"        {name}", f"{raising}        {name}")
    install(comm, shared_path / "site", monkeypatch, text)
    kind = ImportError if where == "import" else RuntimeError
    with pytest.raises(kind, match="one rank"):
        tsc.loadImages(shared_path / "rec", inputFormat="toy").toArray()
    assert tsc.loadImagesFromArray(toys).count() == 9


@pytest.mark.parametrize(
    ("text", "entry", "error", "told"),
    [
        ("import nonsense_7\n", "toy = {}:ToyReader", ImportError, "No module named 'nonsense_7'"),
        ("1 / 0\n", "toy = {}:ToyReader", ImportError, "ZeroDivisionError"),
        ("", "toy = {}:ToyReader", ImportError, "has no attribute 'ToyReader'"),
        (READER, "toy = {}:ToyHandle", ImportError, "TypeError"),
        (READER, "other = {}:ToyReader", TypeError, "name 'other'"),
        ("class ToyReader:\n    extensions = ()\n", "toy = {}:ToyReader", TypeError, "subclass"),
        (READER.replace("def open", "def opens"), "toy = {}:ToyReader", ImportError, "abstract"),
        (READER.replace('(".toy",)', '".toy"'), "toy = {}:ToyReader", TypeError, "extensions"),
        (READER.replace(".toy", "toy"), "toy = {}:ToyReader", TypeError, "extensions"),
        (READER.replace(".toy", ".TOY"), "toy = {}:ToyReader", TypeError, "extensions"),
    ],
)
def test_packages_with_something_wrong(tmp_path, comm, monkeypatch, text, entry, error, told):
    install(comm, tmp_path / "site", monkeypatch, text, entry)
    name = entry.split()[0]
    with pytest.raises(error, match=told) as caught:
        registry.get(name)
    assert f"inputFormat={name!r}: the reader of the package toy-package-0" in str(caught.value)
    # Files of another kind hear of it beside what is wrong with them.
    (tmp_path / "a.xyz").write_bytes(b"1")
    with pytest.raises(ValueError, match=r"a\.xyz: the format cannot be told.*toy-package-0"):
        find_input(tmp_path / "a.xyz")


def test_two_packages_of_one_name(tmp_path, comm, monkeypatch):
    install(comm, tmp_path / "site", monkeypatch, times=2)
    with pytest.raises(TypeError, match="toy-package-0 and toy-package-1 have a reader"):
        registry.get("toy")


def test_two_formats_of_one_ending(tmp_path, comm, monkeypatch):
    install(comm, tmp_path / "one", monkeypatch)
    other = READER.replace('"toy"', '"toy2"')
    install(comm, tmp_path / "two", monkeypatch, other, "toy2 = {}:ToyReader")
    write(tmp_path / "a.toy", recording(2, (3, 4), "uint16"))
    with pytest.raises(ValueError, match=r"a\.toy: several readers are installed.*toy, toy2"):
        find_input(tmp_path / "a.toy")
    assert find_input(tmp_path / "a.toy", "toy2")[0] == "toy2"


def test_our_own_formats_come_first(tmp_path, comm, monkeypatch):
    text = READER.replace('"toy"', '"tif"').replace(".toy", ".bin")
    install(comm, tmp_path / "site", monkeypatch, text, "tif = {}:ToyReader")
    assert registry.get("tif").name == "tif"
    assert type(registry.get("tif")).__name__ == "TifReader"
    assert detect(["a.bin"]) == "stack"
    assert registry.names() == list(registry.FORMATS)


def test_the_command_line_lists_our_own_formats():
    from mpimages.commands.options import _READING
    from mpimages.readers import FORMATS

    def command():
        pass

    _READING[0](command)
    choices = command.__click_params__[0].type.choices
    assert tuple(choices) == tuple(FORMATS)


def test_packages_are_not_looked_through_for_our_own_formats(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_entry_points", lambda: pytest.fail("looked through"))
    for name in registry.FORMATS:
        assert registry.get(name).name == name
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    assert find_input(tmp_path)[0] == "tif"
    assert "toy_reader" not in sys.modules
