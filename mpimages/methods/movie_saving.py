"""Methods of Images that write the files of other programs."""

from __future__ import annotations

import os

from ..core.arguments import check_choice, check_positive, check_text
from ..core.public import public
from ..core.text import quote
from ..engine.geometry import ColumnsFirst
from ..formats.matlab import is_variable_name
from ..spmd.actions import action, stoppable
from .conversion import ImageConversion

__all__ = ["MovieSaving"]


@public
class MovieSaving(ImageConversion):
    """Images written as MATLAB, suite2p and CaImAn have them on the disk, by all ranks."""

    @action
    @stoppable
    def saveAsMatlab(
        self,
        path: str | os.PathLike[str],
        name: str = "images",
        compression: object = None,
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write one MAT-file of MATLAB's version 7.3, from all ranks. Collective; an action.

        MATLAB's ``load`` gives one variable, `name`, of the size (row, column[, page], time).
        Where the file is not compressed ``matfile`` reads parts of it without the rest. The class
        is that of the images' dtype: ``uint16``, ``single`` and so on. `ThunderContext.loadImages`
        takes the file, too, with its metadata and the images as they are here.

        Parameters
        ----------
        path : path
            A new file, which should end in ``.mat``; its directory must exist.
        name : str
            Of the variable, as MATLAB allows it: at most 63 letters, digits and underscores, of
            which the first is a letter.
        compression : str, tuple or None
            ``'gzip'``, or with a level ``('gzip', 4)``. MATLAB reads others of
            `Series.saveAsHDF5` only where HDF5's plug-ins for them are installed.
        overwrite, resume, memory
            As in `Series.saveAsHDF5`.

        Raises
        ------
        ValueError
            Where the images are neither 2-D nor 3-D or have the dtype float16, which MATLAB lacks,
            or MATLAB does not allow the name.
        FileExistsError, MemoryError
            As `Series.saveAsHDF5`.

        Notes
        -----
        In the file the axes are (time[, page], column, row), which MATLAB counts from the last one.
        What mpimages knows besides is in attributes of the dataset, which MATLAB ignores. A file
        to which another program has added a variable is not replaced.
        The files were tried with h5py and SciPy, not with MATLAB itself.
        """
        from ..conversion.matlab import save_matlab
        from ..conversion.saving import Target

        variable = check_text(name, "name")
        if not is_variable_name(variable):
            raise ValueError(f"name cannot be that of a variable in MATLAB: {quote(variable)}")
        target = Target.checked(path, overwrite, resume, memory)
        turned = self._then(ColumnsFirst("saveAsMatlab", pages_first=True))
        begun, images = turned.records.begin("saveAsMatlab", 1, target.memory)
        inputs = self.records.inputs
        save_matlab(begun, images, self.metadata, inputs, target, variable, compression)

    @action
    @stoppable
    def saveAsSuite2p(
        self,
        path: str | os.PathLike[str],
        *,
        fs: float | None = None,
        tau: float | None = None,
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write a folder as suite2p makes one of a registered recording. Collective; an action.

        For each plane there is a folder, ``plane0`` and so on, with ``data.bin``, the frames one
        after the other as int16, and ``ops.npy``, which says what they are. suite2p finds cells in
        them without registering them again. `ThunderContext.loadImages` takes the directory.

        Parameters
        ----------
        path : path
            A new directory, which suite2p calls ``suite2p``; its parent must exist.
        fs : float, optional
            Images, or volumes, a second. By default it follows from the recording's
            ``frameInterval``.
        tau : float, optional
            The decay time of the indicator in s. suite2p takes 1 where it is not given.
        overwrite, resume, memory
            As in `saveAsBinarySeries`.

        Raises
        ------
        ValueError
            Where the images are neither 2-D nor 3-D, or neither `fs` nor the recording tells the
            rate.
        OverflowError
            Where int16 does not hold a value; the message names the image.
        FileExistsError, MemoryError
            As `saveAsBinarySeries`.

        Notes
        -----
        Floats are rounded to the nearest integer. ``ops.npy`` has no path, so that the directory
        may lie anywhere. They are set where suite2p runs::

            ops = np.load(f"{path}/plane0/ops.npy", allow_pickle=True).item()
            ops |= {"reg_file": f"{path}/plane0/data.bin", "save_path": f"{path}/plane0"}
        """
        from ..conversion.movies import save_suite2p
        from ..conversion.saving import Target
        from ..writers.calibration import Calibration

        given = {"fs": fs, "tau": tau}
        times = {
            name: check_positive(value, name) for name, value in given.items() if value is not None
        }
        target = Target.checked(path, overwrite, resume, memory)
        if "fs" not in times:
            interval = Calibration.of(self.metadata).interval
            if interval is None:
                raise ValueError(
                    "saveAsSuite2p: the recording does not tell its frameInterval: give fs=, the "
                    "images, or volumes, a second"
                )
            times["fs"] = 1 / interval
        begun, images = self.records.begin("saveAsSuite2p", 1, target.memory)
        save_suite2p(begun, images, self.metadata, target, times["fs"], times.get("tau"))

    @action
    @stoppable
    def saveAsMmap(
        self,
        path: str | os.PathLike[str],
        order: str = "C",
        *,
        name: str = "images",
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write CaImAn's memory-mapped file of the images. Collective; an action.

        The file is float32 and lies in the new directory, beside the ``conf.json`` of mpimages.
        Its name says what it holds: ``images_d1_512_d2_512_d3_1_order_C_frames_3000.mmap``.
        ``caiman.load_memmap`` and `ThunderContext.loadImages` take it.

        Parameters
        ----------
        path : path
            A new directory; its parent must exist.
        order : {'C', 'F'}
            'C': the times of a pixel lie together, as CaImAn's search for components wants them.
            The pixels move between the ranks, in as many rounds as the budget asks for. 'F': the
            pixels of an image lie together, as its motion correction writes them.
        name : str
            With which the file's name begins.
        overwrite, resume, memory
            As in `saveAsBinarySeries`.

        Raises
        ------
        ValueError
            Where the images are neither 2-D nor 3-D.
        OverflowError
            Where a finite value is beyond the range of float32; the message names the image.
        FileExistsError, MemoryError
            As `saveAsBinarySeries`.

        Notes
        -----
        The pixels of an image run with the first axis the fastest. Integers of more than 24 bits,
        and float64, are rounded to float32, which is all that CaImAn takes.
        """
        from ..conversion.movies import save_mmap
        from ..conversion.saving import Target

        check_choice(order, "order", ("C", "F"))
        base = check_text(name, "name")
        if base.startswith(".") or "/" in base:
            raise ValueError(f"name cannot begin a file name: {quote(base)}")
        target = Target.checked(path, overwrite, resume, memory)
        begun = self.records.make_action("saveAsMmap", target.memory)
        series = self.toSeries().records if order == "C" else None
        save_mmap(begun, self.records, series, self.metadata, target, base)
