"""``mpimages register``: a recording without its motion, as images."""

from __future__ import annotations

import click

from ..core.json_types import JsonObject
from .formats import is_hdf5
from .options import (
    dims_of,
    is_tif,
    json_option,
    memory_option,
    overwrite_option,
    path_and_out,
    reads,
    refuse_file_name,
)
from .registering import (
    Registering,
    load_registered,
    refuse_twice,
    registers,
    said_of_model,
    told_of_model,
)
from .repairing import binned, repairs, said_of
from .running import Run, computes, pass_run


@click.command("register")
@path_and_out
@registers("--method", "rigid")
@overwrite_option
@memory_option
@repairs
@reads
@json_option
@computes
@pass_run
def command(
    run: Run,
    path: str,
    out: str,
    registering: Registering,
    overwrite: bool,
    memory: str | None,
    reading: JsonObject,
    repairing: JsonObject,
    as_json: bool,
) -> None:
    """Take the motion out of a recording: each image is moved to where a reference has it.

    OUT is one HDF5 file, frame after frame, where it ends in .h5 or .hdf5; one TIFF where it ends
    in .tif or .tiff; else a directory of TIFFs. The shifts are stored beside it. Of the repairs,
    --bin comes after the registration, all others before.

    \b
    Examples:
      mpiexec -n 4 mpimages register recording/ registered.h5
      mpimages register red/ red.tif --apply-model registered.h5.registration.npz
    """
    what = "one HDF5 file" if is_hdf5(out) else "one TIFF" if is_tif(out) else "TIFFs"
    if what == "TIFFs":
        refuse_file_name(out)
    refuse_twice({"OUT": out, "--model": registering.model_of(out)})
    kind = {"one HDF5 file": "hdf5", "one TIFF": "tifstack", "TIFFs": "tif"}[what]
    with run.context(memory) as context:
        images, model, _ = load_registered(
            context, path, reading, repairing, registering, {out: kind}, overwrite
        )
        images = binned(images, repairing)
        if kind == "hdf5":
            images.saveAsHDF5(out, layout="images", overwrite=overwrite)
        elif kind == "tifstack":
            images.saveAsTif(out, overwrite=overwrite)
        else:
            images.saveAsTifs(out, overwrite=overwrite)
        found = {
            "out": out,
            "what": what,
            "images": images.count(),
            "dims": list(dims_of(images)),
            "dtype": str(images.dtype),
            **said_of_model(model, registering.stored(out)),
        }
    if as_json:
        run.answer({**found, **said_of(repairing)})
        return
    shape = " x ".join(map(str, found["dims"]))
    run.say(f"{out}: {found['images']:,} registered images of {shape}, {found['dtype']}")
    run.say(told_of_model(found))
