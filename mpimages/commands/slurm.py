"""``mpimages slurm``: a batch script for one of the other commands."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import click

from ..spmd.launcher import told
from .batch import LONGEST_MARK, MARK, Script, mpiexec_here, program_here
from .options import named
from .rehearsal import Word, absolute, rehearse, valued, words
from .running import Run, pass_run

# What SLURM accepts, without what a shell or sbatch would read otherwise.
_PLAIN = re.compile(r"[\w@%.+:,=/*^\[\]-]+", re.ASCII)
_MEMORY = re.compile(r"([1-9][0-9]*)([KMGT]?)B?", re.IGNORECASE)
_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<h>\d+)(?::(?P<m>\d+)(?::(?P<s>\d+))?)?"
    r"|(?:(?P<hours>\d+):(?=\d+:))?(?P<minutes>\d+)(?::(?P<seconds>\d+))?)", re.ASCII)
# Options that say nothing of what is in the script.
_OF_FILE = ("-o", "--out", "--overwrite", "--debug")
# SLURM may send the signal so many seconds earlier than asked.
EARLIER = 60


class _WithJob(click.Command):
    """Its options are taken before and after the name of the job; those that the job has as
    well only before."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = valued(self)
        rest, mine = list(args), []
        for word in words(args, own):
            if word.option is None:
                break
            mine.append(word)
            del rest[: len(word.texts)]
        if rest[:1] == ["--"]:
            del rest[0]
        given = tuple(rest)
        theirs = _job(ctx, rest[0]) if rest else None
        if theirs is not None:
            after, job = _parted(rest[1:], own, {**_help(theirs, ctx), **valued(theirs)})
            mine += after
            given = (rest[0], *job)
        left = super().parse_args(ctx, _texts(mine))
        ctx.params["job"] = given
        ctx.params["options"] = _texts(word for word in mine if word.option not in _OF_FILE)
        return left


def _parted(
    arguments: list[str], own: dict[str, bool], theirs: dict[str, bool]
) -> tuple[list[Word], list[str]]:
    """What is the script's, and what the job's."""
    mine: list[Word] = []
    job: list[str] = []
    for word in words(arguments, {**own, **theirs}):
        if word.option in own and word.option not in theirs:
            mine.append(word)
            continue
        if word.option is None and word.texts[0].startswith("-") and "--" not in job:
            job.append("--")
        job += word.texts
    return mine, job


def _texts(some: Iterable[Word]) -> list[str]:
    return [text for word in some for text in word.texts]


def _help(job: click.Command, ctx: click.Context) -> dict[str, bool]:
    return dict.fromkeys(job.get_help_option_names(ctx), False)


def _job(ctx: click.Context, name: str) -> click.Command | None:
    assert ctx.parent is not None
    group = ctx.parent.command
    assert isinstance(group, click.Group)
    return None if name == ctx.info_name else group.get_command(ctx.parent, name)


def _plain(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and _PLAIN.fullmatch(text) is None:
        raise click.BadParameter(f"{text!r} has characters that SLURM would not take.")
    return text


def _memory(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r}: write it as SLURM does: 500M, 4G")
    return match[1] + match[2].upper()


def _time(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and seconds_of(text) is None:
        raise click.BadParameter(f"{text!r}: write it as SLURM does: 90 (minutes), 4:00:00, 1-12")
    return text


def seconds_of(time: str) -> int | None:
    """The seconds of a time limit as SLURM reads it; None where it would not.

    Notes
    -----
    ``minutes``, ``minutes:seconds``, ``hours:minutes:seconds``, ``days-hours``,
    ``days-hours:minutes``, ``days-hours:minutes:seconds`` (sbatch(1), --time).
    """
    match = _TIME.fullmatch(time)
    if match is None:
        return None
    part = {name: int(text or 0) for name, text in match.groupdict().items()}
    hours = 24 * part["days"] + part["h"] + part["hours"]
    return (60 * hours + part["m"] + part["minutes"]) * 60 + part["s"] + part["seconds"]


def _extra(
    _: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    for text in texts:
        if re.match(r"--?\w", text) is None or not text.isprintable():
            raise click.BadParameter(f"{text!r} is not an option such as --qos=long")
    return texts


_COUNT = click.IntRange(min=1)
# Name, type or check, and what it is; they are sbatch's own.
_SBATCH: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("partition", {"callback": _plain, "metavar": "NAME"}, "Of the cluster."),
    ("account", {"callback": _plain, "metavar": "NAME"}, "To charge."),
    ("nodes", {"type": _COUNT, "metavar": "N"}, "How many machines."),
    ("ntasks", {"type": _COUNT, "metavar": "N"}, "How many ranks in all."),
    ("ntasks-per-node", {"type": _COUNT, "metavar": "N"}, "How many ranks on each machine."),
    ("cpus-per-task", {"type": _COUNT, "metavar": "N"}, "Cores of each rank, to read with."),
    ("mem", {"callback": _memory, "metavar": "SIZE"}, "Memory of each machine: 64G."),
    ("mem-per-cpu", {"callback": _memory, "metavar": "SIZE"}, "Memory of each core: 4G."),
    ("time", {"callback": _time, "metavar": "TIME"}, "The limit: 4:00:00, 2-12 (days-hours)."),
)


def _sbatch_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, how, text in reversed(_SBATCH):
        function = click.option(f"--{name}", help=text, **how)(function)
    return function


@click.command("slurm", cls=_WithJob)
@click.argument("job", metavar="JOB [ARGS]...", nargs=-1)
@_sbatch_options
@click.option("--sbatch", "extra", multiple=True, callback=_extra, metavar="OPTION",
              help="Another option of sbatch, such as --sbatch=--qos=long.")
@click.option("--job-name", callback=_plain, metavar="NAME", help="Default: that of JOB.")
@click.option("--mpi", callback=_plain, metavar="HOW",
              help="srun's --mpi (pmix, pmi2 …; `srun --mpi=list`), or mpiexec. Default: the "
              "mpiexec beside this python, where there is one, else pmix.")
@click.option("--margin", type=click.IntRange(10, 65535), default=120, show_default=True,
              metavar="SECONDS", help="Before the time limit, to record what is done.")
@click.option("--no-requeue", is_flag=True, help="Let the job end at its time limit.")
@click.option("-o", "--out", metavar="FILE", help="Write the script there; default: print it.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier script at FILE.")
@pass_run
@click.pass_context
def command(
    ctx: click.Context, /, run: Run, job: tuple[str, ...], extra: tuple[str, ...],
    job_name: str | None, mpi: str | None, margin: int, no_requeue: bool, out: str | None,
    overwrite: bool, options: list[str], **sbatch: Any,
) -> None:
    """Print a batch script for SLURM that does JOB, another command with its arguments.

    The usage of JOB is checked now, and its paths are made absolute; not what they hold. Options
    that JOB has as well (-o, --overwrite) are the script's before JOB, and JOB's after it. A
    to-series job is stopped in time before its limit, queued again, and goes on.

    \b
    Examples:
      mpimages slurm to-series recording/ series.h5 --ntasks 64 --time 4:00:00
      mpimages slurm -o job.sh stats 'movies/*.tif' statistics --nodes 2 --ntasks-per-node 16
    """
    launcher = told()
    if launcher is not None and launcher.rank > 0:
        return  # one of them is enough
    if sbatch["mem"] is not None and sbatch["mem_per_cpu"] is not None:
        raise click.UsageError("--mem and --mem-per-cpu exclude each other: give one.")
    name, arguments, resumes = _checked_job(ctx, job, not no_requeue)
    if resumes:
        _check_margin(sbatch["time"], margin)
    script = Script(
        name=job_name or name, made_by=["mpimages", "slurm", *options, name, *arguments],
        command=[*program_here(), name, *arguments, *["--resume"] * resumes],
        options=[*(f"--{option}={value}" for option, _, _ in _SBATCH
                   if (value := sbatch[option.replace("-", "_")]) is not None),
                 *["--no-requeue"] * no_requeue, *extra],
        mpi=mpi or ("pmix" if mpiexec_here() is None else "mpiexec"),
        margin=margin if resumes else None, mpiexec=mpiexec_here() or "mpiexec",
    )
    if out is None:
        run.say(str(script).rstrip("\n"), colour=True)  # a program, to the letter
        return
    path = named(out, "FILE")
    _write(path, str(script), overwrite)
    run.say(f"{path}: submit it with `sbatch {path}`")


def _checked_job(
    ctx: click.Context, job: tuple[str, ...], requeue: bool
) -> tuple[str, list[str], bool]:
    """The job's name, its arguments with absolute paths, and whether it can go on."""
    if not job:
        raise click.UsageError("Missing argument 'JOB': a command and its arguments.")
    name, *given = job
    theirs = _job(ctx, name)
    if theirs is None:
        raise click.UsageError(f"{name!r} is no command that can be a job.")
    values = rehearse(theirs, given, ctx.parent)
    resumes = requeue and "resume" in values
    if resumes and values.get("overwrite"):
        raise click.UsageError(f"{name} --overwrite would begin anew each time that the job is "
                               "queued again: remove OUT first, or give --no-requeue.")
    found = (absolute(word, theirs) for word in words(given, valued(theirs)))
    return name, _texts(word for word in found if word.option != "--resume"), resumes


def _check_margin(time: str | None, margin: int) -> None:
    seconds = None if time is None else seconds_of(time)
    if seconds is not None and seconds <= margin + EARLIER:
        raise click.UsageError(
            f"--time {time} leaves nothing to work in: the job is stopped {margin} seconds before "
            "its limit, or up to a minute earlier. Give more time, a smaller --margin, or "
            "--no-requeue.")


def _write(path: str, text: str, overwrite: bool) -> None:
    """Write a file that sbatch takes; one that is there only if it is a script, too."""
    if os.path.lexists(path):
        if not overwrite:
            raise FileExistsError(f"{path} exists already: give --overwrite before JOB, or "
                                  "another FILE")
        with open(path, encoding="utf-8", errors="replace") as file:
            if MARK not in file.read(LONGEST_MARK):
                raise FileExistsError(f"{path} is no script that mpimages has written: choose "
                                      "another FILE, or remove it")
    made = f"{path}.mpimages-{os.getpid()}"
    try:
        with open(made, "x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode | 0o111)
        os.rename(made, path)
    except OSError as error:
        with suppress(OSError):
            os.remove(made)
        error.filename, error.filename2 = path, None
        raise
