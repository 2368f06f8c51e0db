"""What takes the time: bytes are what was moved, and no second counts twice."""

import json
import threading
import time

import numpy as np
import pytest

from mpimages import ThunderContext
from mpimages.core import timers
from mpimages.core.timers import PHASES, Timings, carry_timings, count_phase, measuring, phase

from ..support.jobs import run

DIMS, COUNT = (12, 10), 17
SIZE = COUNT * 120 * 2


@pytest.fixture
def timed(comm):
    with ThunderContext(comm, memory="1GB", timings=True) as context:
        yield context


@pytest.fixture
def values():
    return np.arange(SIZE // 2, dtype="uint16").reshape(COUNT, *DIMS)


# -- one rank ------------------------------------------------------------------------------


def test_a_phase_within_another_takes_its_time_from_it():
    timings = Timings()
    with measuring(timings), phase("compute", 3):
        time.sleep(0.02)
        with phase("write", 5):
            time.sleep(0.05)
            with phase("wait (ranks)"):
                time.sleep(0.03)
        with phase("write", 7):
            pass
        time.sleep(0.02)
    found = timings.seconds
    assert 0.04 <= found["compute"] < found["total"] - 0.07
    assert 0.05 <= found["write"] < found["total"] - 0.06
    parts = sum(seconds for name, seconds in found.items() if name != "total")
    assert parts == pytest.approx(found["total"], abs=2e-3)
    assert (timings.bytes["compute"], timings.bytes["write"]) == (3, 12)


def test_a_phase_that_fails_is_counted():
    timings = Timings()
    with pytest.raises(LookupError), measuring(timings), phase("read"), phase("decode", 2):
        raise LookupError
    assert timings.bytes["decode"] == 2
    assert timings.seconds["total"] > 0
    with phase("read", 1):  # nobody asks any more
        pass
    assert timings.bytes["read"] == 0


def test_threads_count_where_the_work_was_handed_to_them():
    timings, seen = Timings(), []

    def work():
        with phase("read", 10):
            count_phase("read", 1)
        seen.append(timers._here.timings)

    with measuring(timings):
        threads = [threading.Thread(target=carry_timings(work)), threading.Thread(target=work)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert timings.bytes["read"] == 11
    assert len(seen) == 2
    assert seen.count(timings) == 1


def test_without_timings_nothing_is_wrapped_or_allocated():
    assert phase("read", 1) is phase("write")

    def work():
        pass

    assert carry_timings(work) is work


# -- all ranks -----------------------------------------------------------------------------


@pytest.mark.ranks
def test_bytes_are_those_of_the_files(timed, shared_path, values, comm):
    timed.loadImagesFromArray(values).saveAsTifs(shared_path / "tifs")
    before = timed.timings()
    assert before["write"].bytes == SIZE
    images = timed.loadImages(shared_path / "tifs")
    images.mean()
    table = timed.timings()
    assert table["read"].bytes == SIZE
    assert table["decode"].bytes == 0
    assert table["compute"].bytes - before["compute"].bytes == SIZE
    images.toSeries().saveAsBinarySeries(shared_path / "series")
    after = timed.timings()
    assert after["read"].bytes == 2 * SIZE
    assert after["write"].bytes == 2 * SIZE
    assert SIZE <= after["exchange"].bytes - table["exchange"].bytes < SIZE + 100 * comm.size
    timed.loadSeries(shared_path / "series").max()
    assert timed.timings()["read"].bytes == 3 * SIZE


@pytest.mark.ranks
def test_what_is_decoded_is_told_from_what_is_read(timed, shared_path, values, comm):
    import tifffile

    if comm.rank == 0:
        for i, image in enumerate(values):
            tifffile.imwrite(shared_path / f"{i:02}.tif", image, compression="zlib")
    comm.Barrier()
    stored = 0
    for path in shared_path.glob("*.tif"):
        with tifffile.TiffFile(path) as file:
            stored += sum(file.pages[0].databytecounts)
    timed.loadImages(shared_path).max()
    table = timed.timings()
    assert (table["read"].bytes, table["decode"].bytes) == (stored, SIZE)
    assert table["decode"].slowest > 0


@pytest.mark.ranks
def test_a_slow_rank_is_named_and_waited_for(timed, values, comm):
    def slow(image):
        if comm.rank == comm.size - 1:
            time.sleep(0.02)
        return image

    timed.loadImagesFromArray(values).apply(slow, DIMS, "uint16").mean()
    table = timed.timings()
    compute, waited = table["compute"], table["wait (ranks)"]
    assert compute.rank == comm.size - 1
    assert compute.slowest >= 0.02 * (COUNT // comm.size)
    assert compute.mean <= compute.slowest <= table["total"].slowest
    if comm.size > 1:
        assert waited.rank != comm.size - 1
        assert waited.slowest > 0.015 * (COUNT // comm.size)


@pytest.mark.ranks
def test_all_ranks_get_the_same_table(timed, values, comm):
    timed.loadImagesFromArray(values).mean()
    texts = comm.allgather(str(timed.timings()))
    assert len(set(texts)) == 1
    lines = texts[0].splitlines()
    assert [line[:13].strip() for line in lines[1 : len(PHASES) + 1]] == list(PHASES)
    assert max(map(len, lines)) <= 100
    with pytest.raises(KeyError):
        timed.timings()["sleep"]


@pytest.mark.ranks
def test_timings_that_nobody_took_are_refused(tsc):
    with pytest.raises(ValueError, match="timings=True"):
        tsc.timings()


@pytest.mark.ranks
def test_what_is_no_flag_is_refused(comm):
    with pytest.raises(TypeError, match="timings"):
        ThunderContext(comm, timings="yes")


@pytest.mark.ranks
def test_results_do_not_depend_on_timings(timed, tsc, values):
    expected = tsc.loadImagesFromArray(values).stats()
    found = timed.loadImagesFromArray(values).stats()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


# -- the command line ----------------------------------------------------------------------


@pytest.fixture
def recording(values, tmp_path):
    import tifffile

    path = tmp_path / "recording"
    path.mkdir()
    for i, image in enumerate(values):
        tifffile.imwrite(path / f"{i:02}.tif", image)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_command_shows_a_table(ranks, recording, tmp_path):
    output = run(
        ranks, "command.py", "to-series", recording, tmp_path / "s.h5", "--timings", "--no-progress"
    )
    rows = {line[:13].strip(): line.split() for line in output.splitlines()}
    assert rows["write"][4:6] == ["4.08", "kB"]  # slowest, rank, mean, bytes
    assert rows["read"][4:6] == ["4.08", "kB"]
    assert "120 series of 17 values" in output
    assert output.count("slowest s") == 1


def test_what_a_program_reads_is_left_alone(recording, tmp_path, capfd):
    from mpimages.cli import cli

    with pytest.raises(SystemExit) as ended:
        cli(["stats", str(recording), str(tmp_path / "out"), "--json", "--timings"])
    assert ended.value.code == 0
    out, err = capfd.readouterr()
    assert "values" in json.loads(out)
    assert "slowest s" in err
