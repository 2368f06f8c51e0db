"""What ``mpimages info`` says of recordings, and of those that other commands refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]


@pytest.fixture
def write(comm):
    """Writes TIFFs on rank 0."""

    def written(names, array=None, **options):
        import tifffile

        array = np.zeros((3, 4), "u2") if array is None else array
        if comm.rank == 0:
            for name in names:
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(name, array, photometric="minisblack", **options)
        comm.Barrier()

    return written


def row(text, name):
    found = re.search(rf"^{name:14} (.*)$", text, re.MULTILINE)
    assert found is not None, text
    return found[1]


def test_axes_rate_and_pixel_size(command, write):
    # As ImageJ 1.53 writes a hyperstack.
    metadata = {"axes": "TZYX", "unit": "um", "finterval": 0.04}
    write(
        ["m.tif"], np.zeros((5, 2, 3, 4), "u2"), imagej=True, resolution=(2, 4), metadata=metadata
    )
    text = command("info", "m.tif")
    assert row(text, "axes") == "T 5, Y 3, X 4, Z 2"
    assert row(text, "rate") == "25 images/s"
    assert row(text, "pixel size") == "0.25 x 0.5 x 1 µm"
    found = json.loads(command("info", "m.tif", "--json"))
    assert found["axes"] == {"t": 5, "y": 3, "x": 4, "z": 2}
    assert (found["rate"], found["pixel_size"]) == (25, "0.25 x 0.5 x 1 µm")
    assert "refused" not in found


def test_names_and_what_is_missing_among_them(command, write):
    write([f"r/img_{i:03d}.tif" for i in (1, 2, 3, 5, 8, 9, 10)])
    text = command("info", "r")
    assert row(text, "names") == "img_001.tif, img_002.tif, ..., img_009.tif, img_010.tif"
    assert row(text, "numbering") == "numbers 4, 6 to 7 are missing"
    assert row(command("info", "r", "--stop", "4"), "numbering") == "number 4 is missing"
    assert "numbering" not in command("info", "r", "--stop", "3")


def test_short_files_are_named(command, write, comm):
    write([f"r/{i}.tif" for i in range(5)], np.zeros((9, 30, 40), "u2"), metadata=None)
    write(["r/5.tif"], np.zeros((2, 30, 40), "u2"), metadata=None)
    text = command("info", "r", "--nplanes", "1")
    assert row(text, "short files") == "5.tif (5.17 kB); others have 23.1 kB"


def test_a_channel_that_must_be_chosen(command, write):
    metadata = {"axes": "TCYX"}
    write(["c.tif"], np.zeros((5, 2, 3, 4), "u2"), imagej=True, metadata=metadata)
    text = command("info", "c.tif", code=1)
    assert row(text, "as if") == "channel=0 (--channel 0)"
    assert row(text, "images") == "5"
    assert "channel= is --channel" in text
    found = command("info", "c.tif", "--json", code=1)
    fields = json.loads(found[: found.rindex("}") + 1])
    assert fields["as_if"] == {"channel": 0}
    assert "channel=" in fields["refused"]
    assert "channel=" in command("plan", "c.tif", code=1)
    assert "as if" not in command("info", "c.tif", "--channel", "1")


def test_planes_in_files_of_their_own(command, write):
    write([f"r/img_t{t}_z{z:02d}.tif" for t in range(4) for z in range(3)])
    refused = command("info", "r", code=1)
    assert "pattern='img_t{t}_z{z}.tif'" in refused
    assert "pattern= is --pattern" in refused
    assert row(refused, "as if") == "pattern={0} (--pattern {0})".format("'img_t{t}_z{z}.tif'")
    assert row(refused, "axes") == "T 4, Y 3, X 4, Z 3"
    command("plan", "r", code=1)
    for pattern, axes in (
        ("img_t{t}_z{z}.tif", "T 4, Y 3, X 4, Z 3"),
        ("img_t{t}_z{t}.tif", "T 12, Y 3, X 4"),
    ):
        assert row(command("info", "r", "--pattern", pattern), "axes") == axes
        command("plan", "r", "--pattern", pattern)


def test_a_tree_of_planes(command, write):
    write([f"r/t{t}/z{z}.tif" for t in range(4) for z in range(3)])
    for words in (["r"], ["r", "--recursive"]):
        text = command("info", *words, code=1)
        assert row(text, "as if") == "pattern={0} (--pattern {0})".format("'t{t}/z{z}.tif'")
        assert row(text, "axes") == "T 4, Y 3, X 4, Z 3"
    write([f"c/t{t}/z{z}_ch{c}.tif" for t in range(4) for z in range(3) for c in range(2)])
    text = command("info", "c", code=1)
    assert row(text, "as if") == (
        "pattern={0}, channel=0 (--pattern {0} --channel 0)".format("'t{t}/z{z}_ch{c}.tif'")
    )
    assert row(text, "channels") == "0, 1"


def test_positions_that_a_proposal_leaves_out_are_said(command, write):
    write([f"r/s{s}_t{t}_z{z}.tif" for s in (1, 2) for t in range(4) for z in range(3)])
    text = command("info", "r", code=1)
    assert "12 files of other positions, or with other names, are left out" in text
    assert row(text, "names") == "s1_t0_z0.tif, s1_t0_z1.tif, ..., s1_t3_z1.tif, s1_t3_z2.tif"


def test_channels_in_files_of_their_own(command, write):
    write([f"r/t{t}_{c}.tif" for t in range(4) for c in ("DAPI", "GFP")])
    refused = command("info", "r", "--pattern", "t{t}_{c}.tif", code=1)
    assert row(refused, "as if") == "channel=0 (--channel 0)"
    assert row(refused, "channels") == "DAPI, GFP"
    told = command("info", "r", "--pattern", "t{t}_{c}.tif", "--channel", "1")
    assert row(told, "axes in files") == "C 2, T 4"
    assert row(told, "names") == "t0_GFP.tif, t1_GFP.tif, t2_GFP.tif, t3_GFP.tif"
    assert row(told, "files") == "4"


def test_what_nothing_helps_is_an_error_alone(command, comm):
    if comm.rank == 0:
        Path("bad").mkdir()
        Path("bad/a.tif").write_bytes(b"II*\0 not quite a TIFF")
    comm.Barrier()
    for words in (["info", "bad"], ["info", "bad", "--json"]):
        text = command(*words, code=1)
        assert text.startswith("Error: ")
        assert "bad/a.tif: truncated" in text
