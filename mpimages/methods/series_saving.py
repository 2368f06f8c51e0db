"""Methods of Series that write files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..core.public import public
from ..engine.selection import Settled
from ..spmd.actions import action, stoppable
from .conversion import SeriesConversion

if TYPE_CHECKING:
    from ..conversion.saving import Content

__all__ = ["SeriesSaving"]


@public
class SeriesSaving(SeriesConversion):
    """Series written to files, by all ranks: flat binary, HDF5 or Zarr."""

    @action
    @stoppable
    def saveAsBinarySeries(
        self,
        path: str | os.PathLike[str],
        blockSize: int | str = "150MB",
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write flat binary files and a ``conf.json``, from all ranks. Collective; an action.

        Parameters
        ----------
        path : path
            A new directory; its parent must exist.
        blockSize : int or str
            About how large a file is; the split does not depend on the number of ranks.
        overwrite : bool
            Replace what mpimages wrote there before, and nothing else.
        resume : bool
            Go on with what an interrupted job left; begin where there is nothing, and succeed
            at once where all is there. The result is the same, byte for byte, as of one job
            that was not interrupted, whatever the ranks and the budgets: what was left is read
            once, and done again where it does not have its checksums.
        memory : int or str, optional
            Bytes that each rank may take, such as ``'2GB'``; by default the context's budget.
            It decides the number of rounds, and nothing about the output.

        Raises
        ------
        FileExistsError
            Where there is something already, or what mpimages did not write; with `resume`,
            where the input or the arguments have changed since the job that is to be resumed.
        ValueError
            Where a filter has left out pixels, or for both `overwrite` and `resume`.
        MemoryError
            Where not even one pixel of all images fits into the budget.
        """
        from ..conversion.saving import Target, save_binary_series

        target = Target.checked(path, overwrite, resume, memory)
        begun, series = self._whole("saveAsBinarySeries", target.memory)
        known = begun.known(series)
        save_binary_series(begun, known, self._content(known), target, blockSize)

    @action
    @stoppable
    def saveAsHDF5(
        self,
        path: str | os.PathLike[str],
        dataset: str = "series",
        layout: str = "series",
        chunks: object = None,
        compression: object = None,
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write one HDF5 file, from all ranks. Collective; an action.

        Parameters
        ----------
        path : path
            A new file; its directory must exist.
        dataset : str
            Its name in the file.
        layout : {'series', 'images'}
            dims + (T,), or frame-major, (T,) + dims.
        chunks : tuple of int, True or 'auto', or None
            Shape of a chunk in the dataset's axes; True: a sensible one; None: contiguous.
        overwrite : bool
            Replace what mpimages wrote there before, and nothing else.
        compression : optional
            As h5py users know it: ``'gzip'``, a gzip level 0 … 9, ``('gzip', 4)``, ``'lzf'``, or
            a mapping of h5py's keywords, such as hdf5plugin's filters are. The chunks are
            then sensible ones unless given.
        resume, memory
            As in `saveAsBinarySeries`.

        Raises
        ------
        FileExistsError, MemoryError
            As `saveAsBinarySeries`.
        ValueError
            Where a filter has left out pixels, the chunks do not fit, or for both `overwrite`
            and `resume`.
        """
        from ..conversion.hdf5 import save_series_hdf5
        from ..conversion.saving import Target

        target = Target.checked(path, overwrite, resume, memory)
        begun, series = self._whole("saveAsHDF5", target.memory)
        known = begun.known(series)
        save_series_hdf5(
            begun, known, self._content(known), target, dataset, layout, chunks, compression
        )

    @action
    @stoppable
    def saveAsZarr(
        self,
        path: str | os.PathLike[str],
        layout: str = "series",
        chunks: object = None,
        shards: int | str | bool | None = None,
        compression: object = "zstd",
        levels: int = 0,
        version: int = 3,
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write a directory of Zarr, from all ranks. Collective; an action.

        It has one array, ``series``, of the shape dims + (T,) and with named axes, so that xarray
        and dask open it. `ThunderContext.loadSeries` takes it.

        Parameters
        ----------
        path : path
            A new directory; its parent must exist.
        layout : {'series', 'images'}
            ``'images'`` is ``toImages().saveAsZarr(...)``.
        chunks : tuple of int, or None or 'auto'
            Shape of a chunk in the array's axes, (row, column[, page], time). By default all
            times of neighbouring pixels, about 1 MiB.
        levels : int
            0, but for images.
        shards, compression, version
            As in `Images.saveAsZarr`.
        overwrite, resume, memory
            As in `saveAsBinarySeries`.

        Raises
        ------
        FileExistsError, MemoryError
            As `saveAsBinarySeries`.
        ValueError
            Where a filter has left out pixels, an argument does not fit the series, or there
            would be more than 100,000 files.
        """
        from ..conversion.saving import Target
        from ..conversion.zarr import ZarrOptions, save_zarr_series
        from ..writers.zarr.layout import check_form

        target = Target.checked(path, overwrite, resume, memory)
        check_form(layout, shards, levels, version)
        form = (chunks, shards, compression, levels, version)
        if layout == "images":
            self.toImages().saveAsZarr(path, layout, *form, overwrite, resume, memory)
            return
        options = ZarrOptions(layout, *form)
        begun, series = self._whole("saveAsZarr", target.memory)
        known = begun.known(series)
        save_zarr_series(begun, known, self._content(known), target, options)

    def _content(self, series: Settled) -> Content:
        """What is written of a Series beside its values. Local."""
        from ..conversion.saving import Content

        length = series.dims[0]
        return Content(
            (*self._extent(), length), self._labels(length), self.metadata, self.records.inputs
        )
