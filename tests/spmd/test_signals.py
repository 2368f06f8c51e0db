"""Signals stop a conversion early on all ranks: what is done is kept, and the exit code is 75."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
import tifffile

from mpimages import Interrupted, ThunderContext
from mpimages.writers.output.journal import begin_job
from mpimages.writers.output.staging import resumable

from ..conversion.test_saving import contents
from ..support.data import recording
from ..support.jobs import Job, run

COUNT, DIMS = 96, (40, 30)
NAMES = {"images": "out.h5", "pictures": "tifs"}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    root = tmp_path_factory.mktemp("recorded")
    for i, image in enumerate(recording(COUNT, DIMS, "uint16")):
        tifffile.imwrite(root / f"{i:03d}.tif", image)
    return root


@pytest.fixture(scope="module")
def whole(recorded, tmp_path_factory):
    """What each way gives that is not stopped, once."""
    root, found = tmp_path_factory.mktemp("whole"), {}

    def of(way: str) -> list[bytes]:
        if way not in found:
            path = root / f"{way}-{NAMES.get(way, 'out')}"
            run(1, "stopped.py", recorded, path, way, RESUME="1")
            found[way] = list(contents(path).values())
        return found[way]

    return of


def stop(job: Job, place, number: signal.Signals, whom: str) -> int:
    """Wait until the conversion runs, send the signal, and wait for the job's end."""
    end = time.monotonic() + 30
    while not list(place.glob(".*/.mpimages-partial.json")) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.8)
    ranks = job.ranks()
    for process in {"one": ranks[-1:], "all": ranks, "mpiexec": [job.process.pid]}[whom]:
        os.kill(process, number)
    return job.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "number", "whom", "ranks"),
    [
        ("rounds", signal.SIGTERM, "one", 2),
        ("rounds", signal.SIGTERM, "one", 3),
        ("rounds", signal.SIGUSR1, "mpiexec", 2),
        ("rounds", signal.SIGUSR2, "all", 2),
        ("rounds", signal.SIGTERM, "all", 1),
        ("frames", signal.SIGTERM, "one", 3),
        ("frames", signal.SIGINT, "all", 2),
        ("images", signal.SIGTERM, "one", 2),
        ("images", signal.SIGTERM, "mpiexec", 3),
    ],
)
def test_a_stopped_conversion_goes_on(recorded, whole, tmp_path, way, number, whom, ranks):
    name = NAMES.get(way, "out")
    stopped = tmp_path / "stopped" / name
    stopped.parent.mkdir()
    with Job(ranks, "stopped.py", recorded, stopped, way) as job:
        code = stop(job, stopped.parent, number, whom)
    if number == signal.SIGINT:
        assert code != 0, job.output
        assert job.output.count("KeyboardInterrupt: rank 0") == 1, job.output
    else:
        assert code == 75, job.output
        assert job.output.count("resume=True goes on") == 1, job.output
        assert "Traceback" not in job.output
    assert not stopped.exists()
    assert list(stopped.parent.glob(".*/job.json")), job.output
    run(2, "stopped.py", recorded, stopped, way, RESUME="1")
    assert list(contents(stopped).values()) == whole(way)
    assert [p.name for p in stopped.parent.iterdir()] == [name]


@pytest.mark.slow
def test_stopped_before_it_is_known_what_will_be_written(recorded, tmp_path):
    begun = tmp_path / "out.begun"
    with Job(2, "stopped.py", recorded, tmp_path / "out", "undeclared") as job:
        end = time.monotonic() + 30
        while not begun.exists() and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(job.ranks()[-1], signal.SIGTERM)
        assert job.wait() == 75, job.output
    assert list(tmp_path.iterdir()) == [begun]


@pytest.mark.slow
def test_of_stopped_pictures_nothing_is_left(recorded, tmp_path):
    with Job(2, "stopped.py", recorded, tmp_path / "tifs", "pictures") as job:
        code = stop(job, tmp_path, signal.SIGTERM, "all")
    assert code == 75, job.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "Interrupted"), (signal.SIGINT, "KeyboardInterrupt")]
)
def test_a_program_may_catch_it_and_go_on(recorded, tmp_path, number, name):
    with Job(2, "stopped.py", recorded, tmp_path / "out", "rounds", "catch") as job:
        code = stop(job, tmp_path, number, "one")
    assert code == 0, job.output
    assert job.output.count(f"{name}: rank 1 of 2") == 2, job.output
    assert job.output.count(f"stopped by {number.name}; {COUNT}") == 2, job.output


# -- within this process -------------------------------------------------------------------


@pytest.mark.ranks
def test_a_programs_own_handlers_stay(tsc):
    caught = []
    before = signal.signal(signal.SIGUSR1, lambda *_: caught.append(1))
    try:
        with tsc.session.stopping.on_signals():
            os.kill(os.getpid(), signal.SIGUSR1)
            tsc.session.stopping.check()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caught == [1]


@pytest.fixture
def interruptible():
    """What a shell starts in the background ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.ranks
def test_handlers_are_put_back_and_a_signal_without_answer_is_raised_again(tsc, interruptible):
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    done = []
    with pytest.raises(KeyboardInterrupt), tsc.session.stopping.on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        done.append(1)
    assert done == [1]
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.ranks
def test_a_signal_on_one_rank_reaches_all(tsc):
    array = np.zeros((8 * tsc.size, 4, 4), np.uint8)

    def press(image):
        os.kill(os.getpid(), signal.SIGTERM)
        return image

    images = tsc.loadImagesFromArray(array)
    func = press if tsc.rank == tsc.size - 1 else np.copy
    with (
        pytest.raises(Interrupted, match="stopped by SIGTERM") as caught,
        tsc.session.stopping.on_signals(),
    ):
        images.apply(func, (4, 4), np.uint8).max()
    assert caught.value.code == 75
    assert images.max().max() == 0


@pytest.mark.ranks
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_that_was_to_be_overwritten_cannot_be_resumed_and_is_not_left(
    comm, shared_path, overwrite
):
    path = shared_path / "out"
    with ThunderContext(comm, memory="1GB") as tsc:
        images = tsc.loadImagesFromArray(recording(4, (5, 6), "uint16"))
        images.saveAsBinarySeries(path)
        with (
            pytest.raises(Interrupted),
            resumable(
                comm, path if overwrite else f"{path}2", "binaryseries", overwrite, False, "x"
            ) as stage,
        ):
            if comm.rank == 0 and not overwrite:
                begin_job(stage.partial, {})
            comm.Barrier()
            raise Interrupted("x")
        assert path.exists()
        assert len(list(shared_path.iterdir())) == 1 + (not overwrite)
    comm.Barrier()
