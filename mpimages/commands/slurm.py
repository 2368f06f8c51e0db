"""``mpimages slurm``: fill in a batch script for one of the other commands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from glob import glob, has_magic
from importlib.resources import files
from typing import Any, NoReturn

import click

from ..core.json_types import JsonMapping
from ..spmd.launcher import find_launcher
from .options import named
from .running import Run, pass_run

# The first two lines of each template in job/: by them a script of ours is known.
HEAD = b"#!/bin/bash\n# Written by `mpimages slurm`;"
HINT = "# Should the ranks not find each other: `srun --mpi=list` names the other ways.\n"
# Nobody looks at a batch job: a rank that is silent for so long ends it.
LIMIT = (
    "# If nothing is heard from a host for so many seconds, the job ends with an error.",
    'export MPIMAGES_TIMEOUT="${MPIMAGES_TIMEOUT:-1800}"',
)
# The arguments and options of the commands that are paths.
PATHS = {"path", "paths", "out", "outs", "dark", "flat", "bad"}
PATHS |= {"reference", "model", "apply_model", "report", "nwb_file"}
# Options that say nothing of what is in the script.
OF_FILE = {"out", "overwrite", "debug"}
# The words for the shell's variables of a task; no argument can be so, as none has a zero byte.
PATH, OUT = "\0path", "\0out"
VARIABLES = {PATH: '"$path"', OUT: '"$out"'}
# What stands in OUT for the name of a recording, in an array job.
NAME = "{}"
# More tasks than that many clusters refuse (MaxArraySize).
MANY = 1000
# What SLURM does where none of these options is given.
LEFT_OPEN = (
    (
        ("--ntasks", "--ntasks-per-node", "-n"),
        "--ntasks is not given: there will be one rank, or one on each of --nodes",
    ),
    (
        ("--mem", "--mem-per-cpu"),
        "--mem-per-cpu is not given: the ranks get the cluster's default, often 1 to 4 GB each, "
        "and keep within it",
    ),
    (
        ("--time", "-t"),
        "--time is not given: the partition's default limit holds, which may be minutes, or so "
        "long that the job waits for days",
    ),
)
# SLURM may send the signal so many seconds earlier than asked.
EARLIER = 60
# minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes, and with seconds.
_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<h>\d+)(?::(?P<m>\d+)(?::(?P<s>\d+))?)?"
    r"|(?:(?P<hours>\d+):(?=\d+:))?(?P<minutes>\d+)(?::(?P<seconds>\d+))?)",
    re.ASCII,
)


def find_beside_python(name: str) -> str | None:
    """The program of that name that was installed with this Python, if one was. Local."""
    beside = os.path.join(os.path.dirname(sys.executable), name)
    return beside if os.access(beside, os.X_OK) else None


def seconds_of(time: str) -> int | None:
    """The seconds of a time limit as sbatch(1) reads it; None where it would not."""
    match = _TIME.fullmatch(time)
    if match is None:
        return None
    part = {name: int(text or 0) for name, text in match.groupdict().items()}
    hours = 24 * part["days"] + part["h"] + part["hours"]
    return (60 * hours + part["m"] + part["minutes"]) * 60 + part["s"] + part["seconds"]


# -- the command line ----------------------------------------------------------------------


class _WithJob(click.Command):
    """Take options before and after the name of the job; those that the job has too, before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        parser = self._parser(ctx)
        parser.allow_interspersed_args = False
        given, job, _ = parser.parse_args(list(args))
        theirs = _job(ctx, job[0]) if job else None
        if theirs is not None:
            parser = self._parser(ctx, theirs)
            parser.ignore_unknown_options = True
            end = job.index("--") if "--" in job else len(job)
            after, rest, _ = parser.parse_args(job[1:end])
            job = [job[0], *rest, *job[end:]]
            for name, value in after.items():
                given[name] = given.get(name, []) + value if isinstance(value, list) else value
        left = super().parse_args(ctx, _words(self, ctx, given))
        of_script = {name: given[name] for name in given if name not in OF_FILE}
        ctx.params |= {"job": tuple(job), "options": _words(self, ctx, of_script)}
        return left

    def _parser(self, ctx: click.Context, job: click.Command | None = None) -> Any:
        """One that takes these options; behind the name of a job, those that it has not."""
        taken = (
            set()
            if job is None
            else {name for option in job.get_params(ctx) for name in option.opts}
        )
        own = copy(self)
        own.add_help_option = job is None
        own.params = [
            option
            for option in self.params
            if isinstance(option, click.Option) and not taken & {*option.opts}
        ]
        return own.make_parser(ctx)


def _words(
    command: click.Command, ctx: click.Context, given: JsonMapping, paths: Container[str] = ()
) -> list[str]:
    """Write what click's parser has read, with absolute paths for the parameters `paths`."""
    words: list[str] = []
    for parameter in sorted(command.get_params(ctx), key=lambda one: one.param_type_name):
        value = given.get(str(parameter.name))
        texts = value if isinstance(value, list | tuple) else [value]
        for text in texts:
            if isinstance(text, str) and parameter.name in paths:
                text = os.path.abspath(os.path.expanduser(text))
            if isinstance(text, bool):
                words.append((parameter.opts if text else parameter.secondary_opts)[0])
            elif isinstance(text, str) and isinstance(parameter, click.Option):
                name = parameter.opts[0]
                words += [f"{name}={text}"] if text.startswith("-") else [name, text]
            elif isinstance(text, str):
                words.append(text)
    return words


def _job(ctx: click.Context, name: str) -> click.Command | None:
    group = ctx.find_root().command
    assert isinstance(group, click.Group)
    return None if name == ctx.info_name else group.get_command(ctx, name)


class _Begun(Exception):
    """The command has accepted its arguments, and would now begin."""


class _Check(Run):
    """A run that ends where a command would begin to work, or to answer."""

    def _end(self, *_: Any, **__: Any) -> NoReturn:
        raise _Begun

    world = context = say = answer = _end


@dataclass(frozen=True)
class _Array:
    """An array job: task i reads paths[i], and writes outs[i]."""

    paths: list[str]
    outs: list[str]
    resumes: bool
    given: list[str]  # the job as it was called, with absolute paths
    words: list[str]  # the job of a task, with `PATH` and `OUT` in it


def _check_job(ctx: click.Context, given: tuple[str, ...], requeue: bool) -> tuple[list[str], bool]:
    """The job as it is written in the script, and whether it can go on after its time limit."""
    name, *arguments = given
    job = _job(ctx, name)
    if job is None:
        raise click.UsageError(f"{name!r} is no command that can be a job.")
    values = _checked(ctx, job, name, arguments)
    written, _, _ = job.make_parser(ctx).parse_args(list(arguments))
    resumes = requeue and "resume" in values
    if resumes:
        try:
            words = _words(job, ctx, {**written, "resume": True, "overwrite": None})
            _checked(ctx, job, name, words)
        except click.UsageError:  # as of a format that is written at once
            resumes = False
    if resumes and values["overwrite"]:
        raise click.UsageError(
            f"{name} --overwrite would begin anew each time that the job is "
            "queued again: remove OUT first, or give --no-requeue."
        )
    return [name, *_words(job, ctx, {**written, "resume": None}, PATHS)], resumes


def _checked(
    ctx: click.Context, job: click.Command, name: str, arguments: Sequence[str]
) -> JsonMapping:
    """The values of a job's arguments, which it accepts."""
    with job.make_context(name, list(arguments), ctx.parent, obj=_Check()) as inner:
        values = dict(inner.params)
        with suppress(_Begun):
            job.invoke(inner)
    return values


def _check_array(ctx: click.Context, given: tuple[str, ...], requeue: bool) -> _Array:
    """The tasks of a job with several PATHs, each checked as a job of its own."""
    name, *arguments = given
    job = _job(ctx, name)
    if job is None or not {"paths", "out"} <= {str(one.name) for one in job.params}:
        raise click.UsageError("--array is for a JOB that makes an OUT of a PATH, as to-series.")
    written, _, _ = job.make_parser(ctx).parse_args(list(arguments))
    paths, out = written.get("paths"), written.get("out")
    if not isinstance(paths, tuple) or not paths:
        raise click.UsageError("Missing argument 'PATH': the recordings, each a task of the array.")
    if not isinstance(out, str) or NAME not in out:
        raise click.UsageError(
            f"--array: give -o OUT with {NAME} where the name of each recording belongs, behind "
            f"JOB, such as {name} PATH... -o 'results/{NAME}.h5'."
        )
    shared = [name for name in ("model", "report") if written.get(name) is not None]
    if shared:
        raise click.UsageError(
            f"--array: all tasks would write the same --{shared[0]}: give the job without it."
        )
    tasks: dict[str, str] = {}
    for path in _expanded(paths):
        own = out.replace(NAME, _name_of(path))
        own = os.path.abspath(os.path.expanduser(own))
        if tasks.setdefault(own, path) != path:
            raise click.UsageError(
                f"--array: {tasks[own]} and {path} would have one output, {own}: rename one, or "
                "give two jobs."
            )
    resumes = False
    for own, path in tasks.items():
        one = _words(job, ctx, {**written, "paths": (path,), "out": own})
        _, resumes = _check_job(ctx, (name, *one), requeue)
    kept = {**written, "resume": None}
    return _Array(
        paths=list(tasks.values()),
        outs=list(tasks),
        resumes=resumes,
        given=[name, *_words(job, ctx, kept, PATHS)],
        words=[name, *_words(job, ctx, {**kept, "paths": (PATH,), "out": OUT})],
    )


def _expanded(paths: Sequence[str]) -> list[str]:
    """The recordings that several PATHs and patterns name, with absolute paths, each once."""
    from ..readers.listing import natural_key

    found: dict[str, None] = {}
    for path in paths:
        whole = os.path.abspath(os.path.expanduser(path))
        matches = [whole]
        if has_magic(whole) and not os.path.lexists(whole):
            matches = sorted(glob(whole), key=natural_key)
        if not path or not matches:
            raise click.UsageError(f"--array: no recording is called {path!r}.")
        found.update(dict.fromkeys(matches))
    return list(found)


def _name_of(path: str) -> str:
    """What the outputs of a recording are called: of a file without its ending."""
    name = os.path.basename(path)
    return name if os.path.isdir(path) else os.path.splitext(name)[0]


def _lines_of_array(array: _Array) -> list[str]:
    """What picks the recording of a task, and makes a place for its output."""
    lines = []
    for name, texts in (("paths", array.paths), ("outs", array.outs)):
        lines += [f"{name}=(", *(f"  {shlex.quote(text)}" for text in texts), ")"]
    return [
        *lines,
        "path=${paths[SLURM_ARRAY_TASK_ID]}",
        "out=${outs[SLURM_ARRAY_TASK_ID]}",
        'mkdir -p "$(dirname "$out")"',
    ]


def _like(is_right: Callable[[str], object], advice: str) -> Any:
    """A check of an option's text, or texts."""

    def check(_: click.Context, parameter: click.Parameter, value: Any) -> Any:
        for text in value if isinstance(value, tuple) else [value]:
            if text is not None and not is_right(text):
                raise click.BadParameter(f"{text!r}: {advice}")
        return value

    return check


# Without what a shell or sbatch would read otherwise.
_plain = _like(
    re.compile(r"[\w@%.+:,=/*^\[\]-]+", re.ASCII).fullmatch,
    "has characters that SLURM would not take.",
)
_memory = _like(
    re.compile("[1-9][0-9]*[KMGT]?", re.IGNORECASE).fullmatch, "write it as SLURM does: 500M, 4G"
)
_time = _like(
    lambda text: seconds_of(text) is not None, "write it as SLURM does: 90 (minutes), 4:00:00, 1-12"
)
_extra = _like(
    lambda text: re.match(r"--?\w", text) and text.isprintable(),
    "is not an option such as --qos=long",
)


def _lines(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> list[str]:
    """Lines of bash, checked by it where it is there."""
    lines = [line for text in value for line in text.splitlines()]
    if any(not line.isprintable() for line in (one.replace("\t", " ") for one in lines)):
        raise click.BadParameter("has characters that cannot be printed.")
    with suppress(FileNotFoundError):
        text = "\n".join(lines)
        done = subprocess.run(["bash", "-n"], input=text, text=True, stderr=subprocess.PIPE)
        if done.returncode:
            raise click.BadParameter(f"bash cannot read it: {done.stderr.splitlines()[0]}")
    return lines


_COUNT = click.IntRange(min=1)
_SBATCH = [
    click.Option(["--partition"], callback=_plain, metavar="NAME", help="Of the cluster."),
    click.Option(["--account"], callback=_plain, metavar="NAME", help="To charge."),
    click.Option(["--nodes"], type=_COUNT, metavar="N", help="How many machines."),
    click.Option(["--ntasks"], type=_COUNT, metavar="N", help="How many ranks in all."),
    click.Option(
        ["--ntasks-per-node"], type=_COUNT, metavar="N", help="How many ranks on each machine."
    ),
    click.Option(
        ["--cpus-per-task"], type=_COUNT, metavar="N", help="Cores of each rank, to read with."
    ),
    click.Option(["--mem"], callback=_memory, metavar="SIZE", help="Memory of each machine: 64G."),
    click.Option(
        ["--mem-per-cpu"], callback=_memory, metavar="SIZE", help="Memory of each core: 4G."
    ),
    click.Option(
        ["--time"], callback=_time, metavar="TIME", help="The limit: 4:00:00, 2-12 (days-hours)."
    ),
    click.Option(
        ["--sbatch"],
        multiple=True,
        callback=_extra,
        metavar="OPTION",
        help="Another option of sbatch, such as --sbatch=--qos=long.",
    ),
]


@click.command("slurm", cls=_WithJob, params=list(_SBATCH))
@click.argument("job", metavar="JOB [ARGS]...", nargs=-1)
@click.option(
    "--setup",
    multiple=True,
    callback=_lines,
    metavar="LINES",
    help="Lines of bash before the job: 'module load gcc', 'source env/bin/activate'. May be "
    "given several times.",
)
@click.option(
    "--array",
    is_flag=True,
    help="An array job: each PATH, and each that a pattern matches, is a recording and a task of "
    "its own. Of OUT, {} is the recording's name.",
)
@click.option("--job-name", callback=_plain, metavar="NAME", help="Default: that of JOB.")
@click.option("--no-requeue", is_flag=True, help="Let the job end at its time limit.")
@click.option(
    "--mpi",
    callback=_plain,
    metavar="HOW",
    help="srun's --mpi (pmix, pmi2 …; `srun --mpi=list`), or mpiexec. Default: the "
    "mpiexec beside this python, where there is one, else pmix.",
)
@click.option(
    "--margin",
    type=click.IntRange(10, 65535),
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="Before the time limit, to record what is done.",
)
@click.option("-o", "--out", metavar="FILE", help="Write the script there; default: print it.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier script at FILE.")
@pass_run
@click.pass_context
def command(
    ctx: click.Context,
    /,
    run: Run,
    job: tuple[str, ...],
    job_name: str | None,
    mpi: str | None,
    margin: int,
    no_requeue: bool,
    setup: list[str],
    array: bool,
    out: str | None,
    overwrite: bool,
    options: list[str],
    **sbatch: Any,
) -> None:
    """Print a batch script for SLURM that does JOB, another command with its arguments.

    The usage of JOB is checked now, and its paths are made absolute; not what they hold. Options
    that JOB has as well (-o, --overwrite) are the script's before JOB, and JOB's after it. A
    to-series job is stopped in time before its limit, queued again, and goes on.

    \b
    Examples:
      mpimages slurm to-series recording/ series.h5 --ntasks 64 --time 4:00:00
      mpimages slurm -o job.sh stats 'movies/*.tif' statistics --nodes 2 --ntasks-per-node 16
      mpimages slurm --array to-series monday tuesday -o 'results/{}.h5' --setup 'module load gcc'
    """
    launcher = find_launcher()
    if launcher is not None and launcher.rank > 0:
        return  # one of them is enough
    if sbatch["mem"] is not None and sbatch["mem_per_cpu"] is not None:
        raise click.UsageError("--mem and --mem-per-cpu exclude each other: give one.")
    if not job:
        raise click.UsageError("Missing argument 'JOB': a command and its arguments.")
    tasks = _check_array(ctx, job, not no_requeue) if array else None
    if tasks is None:
        words, resumes = _check_job(ctx, job, not no_requeue)
        called = words
    else:
        words, resumes, called = tasks.words, tasks.resumes, tasks.given
    limit = seconds_of(sbatch["time"] or "")
    if resumes and limit is not None and limit <= margin + EARLIER:
        raise click.UsageError(
            f"--time {sbatch['time']} leaves nothing to work in: the job is stopped {margin} "
            "seconds before its limit, or up to a minute earlier. Give more time, a smaller "
            "--margin, or --no-requeue."
        )
    made_by = shlex.join(["mpimages", "slurm", *options, *called])
    given = [f"# {made_by}"] * made_by.isprintable()
    given += [f"#SBATCH --job-name={job_name or words[0]}"]
    given += [
        f"#SBATCH {option.opts[0]}={sbatch[str(option.name)]}"
        for option in _SBATCH
        if not option.multiple and sbatch[str(option.name)] is not None
    ]
    if tasks is not None:
        given += [f"#SBATCH --array=0-{len(tasks.paths) - 1}"]
    given += ["#SBATCH --no-requeue"] * no_requeue + [f"#SBATCH {one}" for one in sbatch["sbatch"]]
    before = [*LIMIT, *setup, *([] if tasks is None else _lines_of_array(tasks))]
    mpi = mpi or ("pmix" if find_beside_python("mpiexec") is None else "mpiexec")
    kind = "once" if not resumes else "mpiexec" if mpi == "mpiexec" else "srun"
    fields = {
        "margin": str(margin),
        "options": "\n".join(given),
        "setup": "\n".join([*before, "", ""]),
        "launch": _launch(mpi, words),
    }
    script = re.sub(
        r"\{(margin|options|setup|launch)\}",
        lambda field: fields[field[1]],
        (files(__package__) / "job" / f"{kind}.sh").read_text("utf-8"),
    )
    _remark(run, [line.removeprefix("#SBATCH ") for line in given], tasks)
    if out is None:
        run.say(script.rstrip("\n"), colour=True)  # a program, to the letter
        return
    path = named(out, "FILE")
    _write(path, script, overwrite)
    run.say(f"{path}: submit it with `sbatch {path}`")


def _remark(run: Run, given: Sequence[str], tasks: _Array | None) -> None:
    """Say beside the script what is left to the cluster."""
    names = {name for line in given for name in re.findall(r"^(?:--[\w-]+|-\w)", line)}
    for options, text in LEFT_OPEN:
        if not names & {*options}:
            run.warn(text)
    if tasks is not None and len(tasks.paths) > MANY:
        run.warn(
            f"{len(tasks.paths):,} tasks may be more than the cluster allows in one array: see "
            "MaxArraySize in `scontrol show config`"
        )


def _launch(mpi: str, words: Sequence[str]) -> str:
    """The line that starts the ranks of a job."""
    own = find_beside_python("mpimages")
    program = " ".join(
        VARIABLES.get(word) or shlex.quote(word)
        for word in [*([own] if own else [sys.executable, "-m", "mpimages"]), *words]
    )
    if mpi != "mpiexec":
        return f"{HINT}srun --mpi={mpi} {program}"
    mpiexec = shlex.quote(find_beside_python("mpiexec") or "mpiexec")
    return f'{mpiexec} -n "${{SLURM_NTASKS:-$SLURM_JOB_NUM_NODES}}" {program}'


def _write(path: str, text: str, overwrite: bool) -> None:
    """Write a file that sbatch takes; one that is there only if it is a script, too."""
    from ..writers.output.plain import write_small

    if os.path.lexists(path):
        if not overwrite:
            raise FileExistsError(
                f"{path} exists already: give --overwrite before JOB, or another FILE"
            )
        with open(path, "rb") as file:
            if file.read(len(HEAD)) != HEAD:
                raise FileExistsError(
                    f"{path} is no script that mpimages has written: choose "
                    "another FILE, or remove it"
                )
    write_small(path, os.fsencode(text))
    os.chmod(path, os.stat(path).st_mode | 0o111)
