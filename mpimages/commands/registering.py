"""Options of a registration: the fit, the model that it finds, and how images are moved back."""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from ..core.json_types import JsonObject
from .options import dims_of, ints, load, refuse_inputs
from .repairing import binned, calibration, calibration_of, file_option, repaired
from .running import Command

if TYPE_CHECKING:
    import numpy as np

    from ..context import ThunderContext
    from ..conversion.planning import Plan
    from ..images import Images
    from ..registration.finders import Options
    from ..registration.model import RegistrationModel

__all__ = [
    "METHODS",
    "Registering",
    "as_if_registered",
    "load_registered",
    "method_option",
    "plan_with_fit",
    "refuse_twice",
    "registers",
    "said_of_model",
    "told_of_model",
]

# As in registration.finders, whose libraries a command line would wait for.
METHODS = ("rigid", "planar", "piecewise")
FILLS = ("edge", "nan")
# What is put to OUT for the name of the model, and how many lost images are named in a line.
ACTION = "mpimages registration"
SUFFIX, FEW = ".registration.npz", 5


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a number") from None


def _numbers(
    _: click.Context, parameter: click.Parameter, text: str | None
) -> float | list[float] | None:
    """``12`` as a number, ``12,12,2`` as a list."""
    if text is None:
        return None
    values = [_number(part) for part in text.split(",")]
    return values if "," in text else values[0]


def _fill(_: click.Context, parameter: click.Parameter, text: str | None) -> float | str | None:
    if text is None or text in FILLS:
        return text
    value = _number(text)
    if not math.isfinite(value):
        raise click.BadParameter(f"{text!r} is none of edge, nan and a finite number")
    return value


def _block(
    ctx: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, ...] | None:
    found = ints(ctx, parameter, text)
    if found is not None and len(found) != 2:
        raise click.BadParameter(f"{text!r} is not rows and columns, such as 128,128")
    return found


def method_option(flag: str, default: str | None) -> Callable[[Command], Command]:
    """The option of the method of a fit, as argument `method`."""
    return click.option(
        flag,
        "method",
        type=click.Choice(METHODS),
        help="One shift for each image or volume; one for each plane of a volume; or a smooth "
        f"field of shifts.{'' if default is None else f' Default: {default}.'}",
    )


_FIT = (
    click.option(
        "--max-shift",
        callback=_numbers,
        metavar="PIXELS|R,C[,P]",
        help="How far an image may have moved. Default: a tenth of the shorter side, a quarter of "
        "the pages.",
    ),
    click.option(
        "--block-size",
        callback=_block,
        metavar="R,C",
        help="Of piecewise: rows and columns of a block. Default: 128,128.",
    ),
    click.option(
        "--smoothing",
        type=click.FloatRange(min=0, min_open=True),
        metavar="V",
        help="Of piecewise: how stiff the field of shifts is. Default: 1.",
    ),
    file_option("reference", "Register to this image; of several, or of a movie, to the mean."),
    click.option(
        "--nimages",
        type=click.IntRange(min=2),
        metavar="N",
        help="Make the reference of so many images at most. Default: 400.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        metavar="S",
        help="Which images the reference is made of. Default: 0.",
    ),
    file_option("model", f"Where to store what is found, .npz or .json. Default: OUT{SUFFIX}."),
)
_MOVE = (
    click.option(
        "--fill",
        callback=_fill,
        metavar="edge|nan|V",
        help="What is written where nothing was recorded. Default: edge, the nearest pixel.",
    ),
    click.option(
        "--interpolation",
        type=click.Choice(["linear", "cubic"]),
        help="Between pixels. Default: linear.",
    ),
    file_option("apply-model", "Fit nothing: move the images by this model of another job."),
    click.option(
        "--scale",
        callback=_numbers,
        metavar="V|R,C[,P]",
        help="With --apply-model: pixels of these images for each pixel of those that were fitted.",
    ),
)
_FIT_NAMES = ("method", "max_shift", "block_size", "smoothing", "reference", "nimages", "seed")
NIMAGES, SEED = 400, 0
# What a model depends on, and what a message calls it where it has changed.
OTHER = {"input": "another input", "options": "other options", "reference": "another reference"}
_NAMES = (*_FIT_NAMES, "model", "fill", "interpolation", "apply_model", "scale")


@dataclass(frozen=True)
class Registering:
    """The options of a registration that are given, checked as far as that needs no data."""

    given: JsonObject
    default: str | None

    @property
    def method(self) -> str | None:
        """The method of the fit, None where a stored model is applied."""
        return None if "apply_model" in self.given else self.given.get("method", self.default)

    @property
    def asked(self) -> tuple[Any, ...]:
        """maxShift, blockSize and smoothing of a fit; None where they are not given."""
        return tuple(map(self.given.get, ("max_shift", "block_size", "smoothing")))

    @property
    def read(self) -> list[str]:
        """The files that are read besides the recording."""
        return [self.given[name] for name in ("reference", "apply_model") if name in self.given]

    def model_of(self, out: str) -> str | None:
        """Where the model is stored; None where nothing is fitted."""
        if self.method is None:
            return None
        path: str = self.given.get("model", out.rstrip("/") + SUFFIX)
        return path

    def stored(self, out: str) -> str:
        """Where the model is that the images are moved by."""
        return self.model_of(out) or str(self.given["apply_model"])

    def check(self, flag: str) -> None:
        """Raise click.UsageError where options contradict each other; `flag` gives the method."""
        given = self.given
        fit = [name for name in (*_FIT_NAMES, "model") if name in given]
        if "apply_model" in given and fit:
            named = flag if fit[0] == "method" else f"--{fit[0].replace('_', '-')}"
            raise click.UsageError(f"--apply-model fits nothing: give it without {named}.")
        if "scale" in given and "apply_model" not in given:
            raise click.UsageError("--scale is of --apply-model FILE: give both.")
        if "apply_model" not in given and self.method is None:
            raise click.UsageError(f"Give {flag} METHOD, or --apply-model FILE.")
        for name in ("nimages", "seed"):
            if name in given and "reference" in given:
                raise click.UsageError(f"--{name} is of a reference that is made: without FILE.")
        for name in ("block_size", "smoothing"):
            if name in given and self.method != "piecewise":
                raise click.UsageError(
                    f"--{name.replace('_', '-')} has an effect with {flag} piecewise only."
                )
        if not given.get("model", SUFFIX).endswith((".npz", ".json")):
            raise click.UsageError(f"--model {given['model']}: its name ends in .npz or .json.")


def registers(flag: str, default: str | None) -> Callable[[Command], Command]:
    """Gives a command the options of a registration, as one argument `registering`."""

    def decorate(function: Command) -> Command:
        @wraps(function)
        def collecting(*args: object, **given: object) -> object:
            taken = {name: given.pop(name) for name in _NAMES}
            found = {name: value for name, value in taken.items() if value is not None}
            registering = Registering(found, default)
            registering.check(flag)
            return function(*args, registering=registering, **given)

        wrapped: Command = collecting
        for option in reversed((method_option(flag, default), *_FIT, *_MOVE)):
            wrapped = option(wrapped)
        return wrapped

    return decorate


# -- the recording -------------------------------------------------------------------------


def refuse_twice(outputs: JsonObject) -> None:
    """Refuse one path for two outputs. Local."""
    seen: dict[str, str] = {}
    for name, path in outputs.items():
        if path is None:
            continue
        other = seen.setdefault(os.path.realpath(path), name)
        if other != name:
            raise click.UsageError(f"{other} and {name} are both {path}: give two names.")


def load_registered(
    context: ThunderContext,
    path: str,
    reading: JsonObject,
    repairing: JsonObject,
    registering: Registering,
    outputs: dict[str, str],
    overwrite: bool,
    resume: bool = False,
) -> tuple[Images, RegistrationModel, Images]:
    """The recording, repaired and registered, not binned; the model, which is stored; and the
    recording, repaired alone.

    Collective. What can be refused without a fit is refused before it. `outputs` are the paths
    that the command writes, and of what kind each is; OUT is the first.
    """
    from ..registration.model import RegistrationModel
    from ..spmd.agreement import from_rank

    images = repaired(context, load(context, path, reading), repairing)
    model = registering.model_of(next(iter(outputs)))
    if model is not None:
        outputs = {**outputs, model: "registration"}
    read = [*calibration_of(repairing), *registering.read]
    for one in outputs:
        refuse_inputs(images, path, one, read)
    comm, inputs = context.comm, images.records.chain.source.inputs
    from_rank(comm, 0, ACTION, _check_targets, outputs, overwrite, resume, inputs)
    if model is None:
        found = from_rank(comm, 0, ACTION, RegistrationModel.load, registering.stored(""))
    else:
        binned(as_if_registered(images, registering), repairing)
        _shifts_of(images, registering, images.session.memory)
        found = _find_model(context, images, registering, model, overwrite, resume)
    registered = _apply(images, found, registering)
    binned(registered, repairing)
    return registered, found, images


def _check_targets(
    outputs: dict[str, str], overwrite: bool, resume: bool, inputs: Sequence[str]
) -> None:
    """Refuse what would be refused after hours. Local: rank 0.

    A report that is there is one of this job only if what is written before it is there, too.
    """
    from ..writers.output.staging import check_target

    there = {path for path in outputs if os.path.lexists(path)}
    begun = any(outputs[path] != "report" for path in there)
    for path, kind in outputs.items():
        if not (resume and path in there and (begun or kind != "report")):
            check_target(path, kind, overwrite, inputs)


# -- the model -----------------------------------------------------------------------------


def _find_model(
    context: ThunderContext,
    images: Images,
    registering: Registering,
    path: str,
    overwrite: bool,
    resume: bool,
) -> RegistrationModel:
    """Fit a model and store it. Collective.

    With `resume` the model that an earlier job stored is taken, if it is one of these images with
    these options.

    Raises
    ------
    FileExistsError
        Where there is something else already.
    """
    from ..core.text import as_comparable
    from ..registration.model import as_bytes
    from ..spmd.agreement import from_rank
    from ..writers.output.plain import write_small
    from ..writers.output.staging import Stage, resumable

    comm, name = context.comm, ACTION

    def take_up(stage: Stage) -> RegistrationModel | None:
        return _earlier(stage.output, said) if stage.complete else None

    with context.session.action(name), context.session.stopping.on_signals():
        reference = _reference(context, images, registering.given)
        said = _fingerprint(images, registering, reference)
        from_rank(comm, 0, name, lambda: None, given=(as_comparable(path), overwrite, resume, said))
        inputs = images.records.chain.source.inputs
        with resumable(
            comm, path, "registration", overwrite, resume, name, take_up, inputs
        ) as stage:
            if stage.complete:
                earlier: RegistrationModel = stage.found
                return earlier
            model = replace(_fit(images, registering, reference), options=said)
            from_rank(
                comm, 0, name, lambda: write_small(stage.output, as_bytes(model, stage.output))
            )
    return model


def _reference(context: ThunderContext, images: Images, given: JsonObject) -> np.ndarray | None:
    """The reference that is given, or made in another way than a fit makes it. Collective."""
    if "reference" not in given:
        return None
    return calibration(context, images, "reference", given["reference"])


def _fit(
    images: Images, registering: Registering, reference: np.ndarray | None
) -> RegistrationModel:
    given = registering.given
    if reference is None and ("nimages" in given or "seed" in given):
        method, far = registering.method or "rigid", registering.asked[0]
        reference = images.referenceImage(*_chosen(given), far, method)
    return images.fitRegistration(reference, registering.method or "", *registering.asked)


def _chosen(given: JsonObject) -> tuple[int, int]:
    """How many images a reference is made of, and which."""
    return given.get("nimages", NIMAGES), given.get("seed", SEED)


def _options_of(images: Images, registering: Registering) -> Options:
    """The options of a fit, checked for these images. Local."""
    from ..registration.finders import Options

    return Options.checked(dims_of(images), registering.method, *registering.asked)


def _fingerprint(
    images: Images, registering: Registering, reference: np.ndarray | None
) -> JsonObject:
    """What a model depends on, as JSON has it. Collective."""
    import numpy as np

    from ..conversion.fingerprint import Fingerprint

    given = registering.given
    action, selection = images.records.begin("fitRegistration", least=1)
    options = _options_of(images, registering)
    fingerprint = Fingerprint(action, selection)
    with action.together():
        fingerprint.ask()
    if reference is not None:
        origin: object = zlib.crc32(np.ascontiguousarray(reference).data)
    else:
        origin = _chosen(given)
    said = {"input": fingerprint.describe(), "options": asdict(options), "reference": origin}
    found: JsonObject = json.loads(json.dumps(said))
    return found


def _earlier(path: str, said: JsonObject) -> RegistrationModel:
    """The model of an earlier job, if it is what this one would find. Local: rank 0."""
    from ..registration.model import RegistrationModel

    model = RegistrationModel.load(path)
    changed = [words for name, words in OTHER.items() if model.options.get(name) != said[name]]
    if changed:
        raise FileExistsError(
            f"{path} is a registration by an earlier job with {' and '.join(changed)}: give the "
            "job what it was given then, choose another file for the model, or remove it"
        )
    return model


def _apply(images: Images, model: RegistrationModel, registering: Registering) -> Images:
    """The images, moved by a model. Collective; lazy."""
    given = registering.given
    return images.applyRegistration(
        model,
        given.get("fill", "edge"),
        given.get("interpolation", "linear"),
        scale=given.get("scale", 1.0),
    )


def as_if_registered(images: Images, registering: Registering) -> Images:
    """The images moved by nothing: what they become is known without a fit. Collective; lazy.

    Raises
    ------
    ValueError
        Where the images cannot be registered so.
    """
    import numpy as np

    from ..engine.bin_source import recorded
    from ..registration.fitting import check_dims
    from ..registration.model import RegistrationModel

    dims = dims_of(images)
    check_dims("fitRegistration", dims)
    _options_of(images, registering)
    chain = images.records.chain
    if chain.positions is None:
        raise TypeError("a command knows what it reads")
    numbers, _ = recorded(chain.source, chain.positions)
    keys = np.asarray(chain.keys, dtype=np.int64)
    rows, columns = (np.array([(n - 1) / 2]) for n in dims[:2])
    shifts, reference = np.zeros((len(keys), len(dims))), np.zeros(dims)
    quality = np.zeros(len(keys))
    still = RegistrationModel(
        shifts, quality, keys, dims, "rigid", reference, rows, columns, numbers
    )
    return _apply(images, still, registering)


def _shifts_of(images: Images, registering: Registering, memory: int) -> int:
    """The bytes of all shifts; MemoryError where they do not fit into a budget. Local."""
    from ..registration.fitting import check_shifts_fit, shifts_bytes

    asked = images.records.count or 0, dims_of(images), _options_of(images, registering)
    check_shifts_fit(*asked, memory)
    return shifts_bytes(*asked)


def plan_with_fit(images: Images, registering: Registering, plan: Plan) -> Plan:
    """The plan of a conversion of these images, and of a fit before. Local."""
    from ..registration.fitting import images_read

    count, dtype = images.records.count or 0, images.records.dtype
    if dtype is None:
        raise TypeError("a command knows what it reads")
    record = math.prod(dims_of(images)) * dtype.itemsize
    read = images_read(count, record, plan.ranks, plan.budget)
    return plan.after_fit(read, count, _shifts_of(images, registering, plan.budget))


def said_of_model(model: RegistrationModel, path: str) -> JsonObject:
    """A model as fields of an answer for programs."""
    from ..registration.model import largest

    return {
        "registration": {
            "model": path,
            "method": model.method,
            "images": len(model.keys),
            "largest_shift": largest(model.shifts),
            "lost": model.lost,
        }
    }


def told_of_model(said: JsonObject) -> str:
    """The same as a line."""
    found = said["registration"]
    lost, largest = found["lost"], found["largest_shift"]
    named = ", ".join(map(str, lost[:FEW])) + (", …" if len(lost) > FEW else "")
    count = f"{len(lost):,} image{'' if len(lost) == 1 else 's'} lost"
    moved = "nothing placed" if largest is None else f"largest shift {largest:.2f} pixels"
    return f"{found['model']}: {found['method']}, {moved}, {count}{f' ({named})' if lost else ''}"
