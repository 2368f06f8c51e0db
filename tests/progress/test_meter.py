"""How far long actions are: counted on all ranks, shown on one, and nothing left behind."""

import io
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tqdm
from mpi4py import MPI

from mpimages import ThunderContext, verify
from mpimages.engine import runner
from mpimages.progress import bar, meter, terminal

from ..support.jobs import PROGRAMS, Job, launcher, run

LINE = re.compile(r"^mpimages: (\S+): +(\d+) %, ([\d,]+) of ([\d,]+) (\w+), .*/s", re.M)


# -- counting ------------------------------------------------------------------------------


class Recorded:
    """In place of what draws: what it is told."""

    def __init__(self):
        self.ended = []
        self.seen = []

    def begin(self, name, total, unit, now):
        self.described = name, total, unit

    def show(self, done, now):
        self.seen.append(done)

    def end(self, done, now, complete):
        self.ended.append((*self.described, done, complete))


@pytest.fixture
def watched(comm, monkeypatch):
    """A context, what it shows (on rank 0), and what each piece of this rank has counted."""
    counted = []
    ends = meter._Piece.end

    def end(piece, complete):
        counted.append(piece.done)
        ends(piece, complete)

    monkeypatch.setattr(meter._Piece, "end", end)
    monkeypatch.setattr(runner, "STEP_BYTES", 1)
    monkeypatch.setattr(runner, "STEP_RECORDS", 1)
    with ThunderContext(comm, memory="1GB", progress=1e-6) as context:
        shown = Recorded()
        if comm.rank == 0:
            context.session.meter._line = shown
        yield context, shown, counted


def images_of(context, n=23, dims=(6, 5)):
    values = np.arange(n * np.prod(dims), dtype="uint16").reshape(n, *dims)
    return context.loadImagesFromArray(values).apply(np.negative, dims, "uint16")


ACTIONS = {
    "mean": (lambda images, path: images.mean(), [("Images.mean", 23, "images")]),
    "cache": (lambda images, path: images.cache(), [("Images.cache", 23, "images")]),
    "pngs": (
        lambda images, path: images.saveAsPngs(path / "png"),
        [("Images.saveAsPngs", 23, "images")] * 2,
    ),
    "tifs": (
        lambda images, path: images.saveAsTifs(path / "tif"),
        [("Images.saveAsTifs", 23, "images")],
    ),
    "series": (
        lambda images, path: images.toSeries().saveAsBinarySeries(path / "series"),
        [("Images.saveAsBinarySeries", 23, "images"), ("saveAsBinarySeries", 23 * 30 * 2, "bytes")],
    ),
    "hdf5": (
        lambda images, path: images.toSeries().saveAsHDF5(path / "s.h5", memory="30kB"),
        [("saveAsHDF5", 23 * 30 * 2, "bytes")],
    ),
    "series mean": (
        lambda images, path: images.toSeries().mean(),
        [("Images.toSeries", 23, "images"), ("Series.mean", 30, "series")],
    ),
}


@pytest.mark.ranks
@pytest.mark.parametrize("name", ACTIONS)
def test_what_all_ranks_count_is_all_there_is(watched, comm, shared_path, name):
    context, shown, counted = watched
    action, expected = ACTIONS[name]
    action(images_of(context), shared_path)
    totals = [comm.allreduce(number) for number in counted]
    if comm.rank == 0:
        pieces = [ended[:3] for ended in shown.ended]
        assert pieces[-len(expected) :] == expected
        assert [ended[1] for ended in shown.ended] == totals
        assert all(done == total and complete for _, total, _, done, complete in shown.ended)
        assert all(0 <= seen <= max(totals) for seen in shown.seen)


@pytest.mark.ranks
def test_files_that_are_loaded_are_counted(watched, comm, shared_path):
    context, shown, counted = watched
    images_of(context).saveAsTifs(shared_path / "tifs")
    counted.clear()
    shown.ended.clear()
    context.loadImages(shared_path / "tifs").cache()
    assert comm.allreduce(sum(counted)) == 23
    if comm.rank == 0:
        assert shown.ended == [("Images.cache", 23, "images", 23, True)]


@pytest.mark.ranks
def test_a_failure_ends_the_piece_and_leaves_the_next_alone(watched, comm):
    context, shown, _ = watched

    def fail(image):
        if image[0, 0] == 22 * 30:
            raise LookupError("made to fail")
        return image

    values = np.arange(23 * 30, dtype="uint16").reshape(23, 6, 5)
    images = context.loadImagesFromArray(values)
    for _ in range(3):
        with pytest.raises(LookupError, match="made to fail"):
            images.apply(fail, (6, 5), "uint16").mean()
        images_of(context).mean()
    if comm.rank == 0:
        assert [complete for *_, complete in shown.ended] == [False, True] * 3


@pytest.mark.ranks
def test_rank_0_sees_the_others_before_the_end(watched, comm):
    """While it waits for them it goes on listening."""
    context, shown, _ = watched

    def slow(image):
        time.sleep(0.01 if comm.rank else 0)
        return image

    values = np.zeros((40, 3, 2), "uint8")
    context.loadImagesFromArray(values).apply(slow, (3, 2), "uint8").mean()
    if comm.rank == 0 and comm.size > 1:
        own = 40 // comm.size + 1
        assert any(own < seen for seen in shown.seen)


@pytest.mark.ranks
def test_without_progress_nothing_is_counted_or_sent(comm, monkeypatch):
    monkeypatch.setattr(meter, "_Piece", None)
    with ThunderContext(comm, progress=False) as context:
        monkeypatch.setattr(context.session._shared.watch.reports, "send", None)
        images_of(context).mean()


@pytest.mark.ranks
def test_verifying_tells_what_it_has_read(tsc, shared_path, comm):
    images = images_of(tsc)
    images.toSeries().saveAsBinarySeries(shared_path / "series")
    images.toSeries().saveAsHDF5(shared_path / "s.h5", chunks=True, compression="gzip")
    images.saveAsTifs(shared_path / "tifs")
    for name in ("series", "s.h5", "tifs"):
        ticks = []
        assert verify(shared_path / name, ticks.append).ok
        path = shared_path / name
        stored = (
            sum(p.stat().st_size for p in path.iterdir()) if path.is_dir() else path.stat().st_size
        )
        assert 0 < sum(ticks) <= stored
        if name == "tifs":
            assert sum(ticks) == sum(p.stat().st_size for p in path.glob("*.tif"))


# -- the choice ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [("0", (False, None)), ("off", (False, None)), ("1", (True, None)), ("2.5", (True, 2.5))],
)
def test_the_environment_chooses(monkeypatch, given, expected):
    monkeypatch.setenv("MPIMAGES_PROGRESS", given)
    assert meter.choose_progress(None) == expected
    assert meter.choose_progress(False) == (False, None)


@pytest.mark.ranks
@pytest.mark.parametrize("given", ["often", "-1", "nan", "inf"])
def test_nonsense_in_the_environment_is_refused_on_all_ranks(comm, monkeypatch, given):
    if comm.rank == 0:
        monkeypatch.setenv("MPIMAGES_PROGRESS", given)
    with pytest.raises(ValueError, match="MPIMAGES_PROGRESS"):
        ThunderContext(comm)


@pytest.mark.ranks
@pytest.mark.parametrize(
    ("given", "kind"),
    [("yes", TypeError), (-1.0, ValueError), (float("nan"), ValueError), ([1], TypeError)],
)
def test_nonsense_is_refused_on_all_ranks(comm, given, kind):
    with pytest.raises(kind, match="progress"):
        ThunderContext(comm, progress=given)


@pytest.mark.ranks
def test_rank_0_decides_for_all(comm, monkeypatch):
    monkeypatch.setenv("MPIMAGES_PROGRESS", "1" if comm.rank == 0 else "0")
    with ThunderContext(comm) as context:
        assert context.session.meter._on
    monkeypatch.setenv("MPIMAGES_PROGRESS", "0" if comm.rank == 0 else "1")
    with ThunderContext(comm) as context:
        assert not context.session.meter._on


@pytest.mark.ranks
def test_of_several_contexts_one_shows_by_default(comm, monkeypatch):
    monkeypatch.delenv("MPIMAGES_PROGRESS", raising=False)
    own = comm.Split(comm.rank)
    with ThunderContext(own) as context:
        assert context.session.meter._on == (MPI.COMM_WORLD.rank == 0)
    own.Free()


# -- the lines -----------------------------------------------------------------------------


@pytest.fixture
def drawn():
    """A bar that may be drawn at once, of ten images."""
    drawn = bar.Bar(0.0)
    drawn.begin("Images.mean", 10, "images", time.monotonic())
    return drawn


def test_a_bar_is_as_wide_as_the_terminal_at_most(capsys, monkeypatch):
    for width in (200, 80, 40, 10):
        monkeypatch.setenv("COLUMNS", str(width))
        drawn = bar.Bar(0.0)
        drawn.begin("Images.mean", 1000, "images", time.monotonic() - 10.0)
        drawn.show(400, time.monotonic())
        drawn.show(5, time.monotonic())
        drawn.end(1000, time.monotonic(), complete=True)
        lines = capsys.readouterr().err.split("\r")
        assert all(len(line.rstrip("\n")) < width for line in lines)
        assert lines[-1].endswith("\n")
        assert "\n" not in "".join(lines[:-1])
        if width > 60:
            first = next(line for line in lines if "400/1000" in line)
            assert re.search(r"Images.mean: +40%\|.*\[00:10<00:1[45], 40.\d+ images/s\]", first)
            assert "1000/1000 [00:10<00:00," in lines[-1]


def test_what_is_over_soon_has_no_bar(capsys):
    drawn = bar.Bar()
    drawn.begin("Images.mean", 10, "images", 0.0)
    drawn.show(4, 0.1)
    drawn.end(10, 0.15, complete=True)
    assert capsys.readouterr().err == ""


def test_a_shorter_line_wipes_a_longer_one(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    drawn = bar.Bar(0.0)
    drawn.begin("Images.mean", 10**9, "images", time.monotonic() - 10.0)
    drawn.show(10**8, time.monotonic())
    drawn.show(0, time.monotonic())
    first, second = capsys.readouterr().err.split("\r")[-2:]
    assert len(second) >= len(first.rstrip())


def test_what_fails_ends_its_line_without_claiming_to_be_complete(capsys, drawn):
    drawn.show(4, time.monotonic())
    drawn.end(4, time.monotonic(), complete=False)
    shown = capsys.readouterr().err
    assert shown.endswith("\n")
    assert "40%" in shown
    assert "100%" not in shown


def test_a_bar_gives_way_to_the_next_piece_of_work(capsys, drawn):
    drawn.show(4, time.monotonic())
    drawn.begin("saveAsHDF5", 2 * 10**9, "bytes", time.monotonic())
    drawn.show(10**9, time.monotonic())
    drawn.end(2 * 10**9, time.monotonic(), complete=True)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "1.00G/2.00G" in shown


def test_nothing_at_all_has_no_percentage(capsys):
    drawn = bar.Bar(0.0)
    drawn.begin("Images.mean", 0, "images", time.monotonic())
    drawn.show(0, time.monotonic())
    drawn.end(0, time.monotonic(), complete=True)
    assert capsys.readouterr().err.endswith("\n")


def test_no_thread_stays_behind_and_the_users_own_bars_are_as_they_were(capsys, drawn):
    before = threading.active_count()
    drawn.show(4, time.monotonic())
    drawn.end(10, time.monotonic(), complete=True)
    assert threading.active_count() == before
    assert tqdm.tqdm.monitor_interval > 0


def test_bytes_are_shown_as_sizes(capsys):
    lines = bar.LogLines(1.0)
    lines.begin("saveAsHDF5", 4 * 10**9, "bytes", 0.0)
    lines.show(10**9, 0.5)
    assert capsys.readouterr().err == ""
    lines.show(10**9, 2.0)
    assert (
        capsys.readouterr().err == "mpimages: saveAsHDF5: 25 %, 1 GB of 4 GB, 500 MB/s, 0:06 left\n"
    )


def test_standard_error_may_be_closed_or_of_another_alphabet(monkeypatch, drawn):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, encoding="ascii"))
    drawn.show(4, time.monotonic())
    assert b"####" in raw.getvalue()
    sys.stderr.close()
    drawn.show(5, time.monotonic())
    monkeypatch.setattr(sys, "stderr", None)
    drawn.show(6, time.monotonic())
    drawn.end(10, time.monotonic(), complete=True)
    assert not terminal.is_live(None)


def test_a_dumb_terminal_has_no_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert terminal.is_live(Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.is_live(Terminal())


# -- whole jobs ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 3])
def test_a_log_has_a_line_per_interval(ranks):
    output = run(ranks, "metered.py", "mean", MPIMAGES_PROGRESS="0.04")
    lines = LINE.findall(output)
    assert len(lines) >= 2, output
    assert lines[-1][1:] == ("100", "40", "40", "images"), output
    assert {line[0] for line in lines} == {"Images.mean"}
    percent = [int(line[1]) for line in lines]
    assert percent == sorted(percent)
    assert "\r" not in output


@pytest.mark.slow
@pytest.mark.parametrize("given", ["0", ""])
def test_off_and_short_jobs_are_silent(given):
    assert run(2, "metered.py", "mean", MPIMAGES_PROGRESS=given).split() == ["well"]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["fails", "fails_and_closes", "saves", "prints"])
@pytest.mark.parametrize("ranks", [2, 4])
def test_no_report_keeps_a_job_from_ending(ranks, case, tmp_path):
    output = run(ranks, "metered.py", case, tmp_path, MPIMAGES_PROGRESS="0.001")
    assert "well" in output
    assert LINE.search(output)


@pytest.mark.slow
def test_a_job_ends_that_fails_in_the_middle():
    with Job(3, "metered.py", "uncaught", MPIMAGES_PROGRESS="0.001") as job:
        assert job.wait() != 0
    assert (
        job.output.count("Traceback (most recent call last)") == 1 or "made to fail" in job.output
    )
    assert "well" not in job.output


def on_a_terminal(command, **environment):
    """What a command shows on a terminal of its own, and its exit code."""
    here, there = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=there,
        stderr=there,
        start_new_session=True,
        env={
            **os.environ,
            "PYTHONPATH": str(PROGRAMS.parents[2]),
            "TERM": "xterm",
            "MPIMAGES_THREADS": "1",
            **environment,
        },
    )
    os.close(there)
    seen, end = b"", time.monotonic() + 60
    try:
        while time.monotonic() < end:
            if select.select([here], [], [], 0.1)[0]:
                try:
                    seen += os.read(here, 1 << 16)
                except OSError:  # the other end was closed
                    break
        return seen.decode(), process.wait(10)
    finally:
        process.kill()
        os.close(here)


@pytest.mark.slow
@pytest.mark.parametrize("launch", [[], [*launcher(), "-n", "2"]], ids=["alone", "launched"])
def test_a_terminal_has_a_bar_whose_line_is_ended(launch):
    command = [*launch, sys.executable, str(PROGRAMS / "metered.py"), "mean"]
    seen, code = on_a_terminal(command, MPIMAGES_PROGRESS="0.05")
    assert code == 0, seen
    assert seen.count("\r") >= 3, seen
    before, after = seen.split("100%")[-2:]
    assert "Images.mean" in before
    assert re.search(r"40/40 \[00:0\d<00:00, .*images/s\] *\r?\n", after), seen
    assert after.rstrip().endswith("well"), seen


@pytest.mark.slow
def test_a_terminal_shows_what_a_program_prints_meanwhile():
    command = [sys.executable, str(PROGRAMS / "metered.py"), "prints"]
    seen, code = on_a_terminal(command, MPIMAGES_PROGRESS="0.02")
    assert code == 0, seen
    assert re.search(r"MEANWHILE *\r?\n", seen), seen


@pytest.mark.slow
def test_a_terminal_without_a_bar_where_it_is_off():
    command = [sys.executable, str(PROGRAMS / "metered.py"), "mean"]
    seen, code = on_a_terminal(command, MPIMAGES_PROGRESS="0")
    assert code == 0
    assert seen.split() == ["well"]


# -- the command line ----------------------------------------------------------------------


@pytest.fixture
def series(tmp_path):
    with ThunderContext(MPI.COMM_SELF) as context:
        images_of(context).toSeries().saveAsBinarySeries(tmp_path / "series")
        images_of(context).saveAsTifs(tmp_path / "tifs")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_commands_show_how_far_they_are(ranks, series):
    output = run(
        ranks,
        "command.py",
        "verify",
        series / "series",
        series / "tifs",
        MPIMAGES_PROGRESS="0.0001",
    )
    assert re.search(r"^mpimages: verify: 100 %, \S+ kB of \S+ kB, .* took", output, re.M)
    output = run(
        ranks,
        "command.py",
        "to-series",
        series / "tifs",
        series / "s.h5",
        MPIMAGES_PROGRESS="0.0001",
    )
    assert "mpimages: Images.saveAsHDF5: 100 %, 23 of 23 images" in output


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False])
def test_commands_can_be_told_to_be_silent(series, before):
    command = ["verify", series / "series"]
    command.insert(0 if before else 1, "--no-progress")
    output = run(2, "command.py", *command, MPIMAGES_PROGRESS="0.0001")
    assert "mpimages:" not in output
    assert "sound" in output


@pytest.mark.slow
def test_nonsense_in_the_environment_is_told_without_a_traceback(series):
    with Job(2, "command.py", "verify", series / "series", MPIMAGES_PROGRESS="often") as job:
        assert job.wait() == 1
    assert "MPIMAGES_PROGRESS='often'" in job.output
    assert "Traceback" not in job.output
