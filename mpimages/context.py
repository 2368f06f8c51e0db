"""Where a program begins: the communicator, the memory budget, and the loaders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from mpi4py import MPI

from . import loading
from .core.arguments import check_flag
from .core.public import public, taking
from .core.timers import phase
from .engine.session import Session
from .spmd.actions import action
from .spmd.launcher import check_launch

if TYPE_CHECKING:
    from .images import Images
    from .progress.timing_table import Table
    from .series import Series

__all__ = ["ThunderContext"]

Path = str | os.PathLike[str]

# What methods import when they begin. One rank by itself need not have it before.
IMPORTED_FIRST = (
    "blocks",
    "conversion.hdf5",
    "conversion.matlab",
    "conversion.nwb",
    "conversion.pictures",
    "conversion.saving",
    "conversion.zarr",
    "exchange.to_images",
    "exchange.to_series",
    "progress.timing_table",
    "readers.series.base",
    "report",
    "series",
    "simulated.example",
    "statistics.aggregate",
    "statistics.regions",
    "statistics.sample",
    "writers.binaryseries",
    "writers.export",
    "writers.hdf5.writer",
    "writers.png",
    "writers.zarr.writer",
)


@public
class ThunderContext:
    """The ranks that work together, and what they load. Collective.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, optional
        Default: COMM_WORLD. It is duplicated once, for all contexts of it; the last one's `close`
        frees the duplicate.
    memory : int or str, optional
        What each rank may take: bytes, or a text such as ``'4GB'``. Default: what the batch
        system, the container and the node allow, shared among the ranks of a node.
    timeout : float, optional
        Seconds that a rank waits in a collective method, at its beginning or later, for others
        from which nothing is heard, before it raises CollectiveMismatchError, which names them and
        their hosts. Default: MPIMAGES_TIMEOUT, or for ever, as a slow rank is no mistake: one that
        works answers between two batches, and between two calls of a function that you gave.
        Ranks that are known to be elsewhere or to have ended raise at once.
    progress : bool or float, optional
        Whether rank 0 shows on standard error how far all ranks are in long actions: a bar in a
        terminal and in notebooks; elsewhere a line every 30 s, or so many seconds as are given.
        Default: MPIMAGES_PROGRESS (0, 1 or seconds), or True. Rank 0's value holds for all ranks.
    timings : bool
        Whether to count what takes the time, for `timings`.

    Notes
    -----
    Contexts of one communicator are used by one thread, the one that made the first of them. Other
    threads make contexts of communicators of their own (``comm.Dup()``). The ranks must use the
    same one of several contexts: otherwise all raise CollectiveMismatchError.

    While contexts of several ranks are open, an uncaught exception ends the job with a
    non-zero exit code, and its traceback is printed once (``sys.excepthook``). Without a context, a
    rank that ends of one is ended by SIGALRM where MPI's end takes longer than 5 s.

    Raises
    ------
    LaunchError
        Where a launcher has started several processes, but each is alone in COMM_WORLD: before
        any file is touched, on each of them. See ``mpimages.spmd.launcher.check_launch``. Or where
        hosts have other versions of mpimages, or of NumPy or h5py by more than a bug-fix release.

    Examples
    --------
    >>> from mpimages import ThunderContext
    >>> with ThunderContext() as tsc:
    ...     tsc.loadExample('fish-images').count()
    20
    """

    def __init__(
        self,
        comm: MPI.Intracomm | None = None,
        memory: int | str | None = None,
        timeout: float | None = None,
        progress: bool | float | None = None,
        timings: bool = False,
    ) -> None:
        check_launch(comm)
        world = MPI.COMM_WORLD if comm is None else comm
        several = isinstance(world, MPI.Comm) and world != MPI.COMM_NULL and world.size > 1
        # An import that fails on one rank alone must not part the ranks later.
        first = _import_first if several else lambda: None
        self.session = Session(world, memory, timeout, progress, timings, first)

    @classmethod
    def start(
        cls,
        comm: MPI.Intracomm | None = None,
        memory: int | str | None = None,
        timeout: float | None = None,
        progress: bool | float | None = None,
        timings: bool = False,
    ) -> ThunderContext:
        """The same as ``ThunderContext(…)`` with these arguments. Collective."""
        return cls(comm, memory, timeout, progress, timings)

    # -- properties: local -----------------------------------------------------------------

    @property
    def comm(self) -> MPI.Intracomm:
        """The context's own communicator. Local; RuntimeError after `close`."""
        return self.session.comm

    @property
    def rank(self) -> int:
        """This process among all, from 0. Local; of a closed context too."""
        return self.session.rank

    @property
    def size(self) -> int:
        """The number of ranks. Local; of a closed context too."""
        return self.session.size

    @property
    def memory(self) -> int:
        """The budget of each rank in bytes, the same on all. Local."""
        return self.session.memory

    @action
    def timings(self) -> Table:
        """What has taken the time of the context's actions until now. Collective.

        Returns
        -------
        Table
            One row for each phase: seconds of the slowest rank and of the mean one, bytes of all
            ranks. ``print`` shows it; ``table['read'].slowest`` is one figure.

        Raises
        ------
        ValueError
            Where it was not asked for: ``ThunderContext(timings=True)``.
        """
        if self.session.timings is None:
            raise ValueError("no timings were taken: ThunderContext(timings=True) takes them")
        from .progress.timing_table import over_ranks

        return over_ranks(self.comm, self.session.timings)

    def close(self) -> None:
        """Free the communicator; collections of this context cannot be used then.

        Collective; may be called twice.
        """
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Freeing the communicator is collective. Where an exception ends the block on one rank
        # alone, waiting for the others would be a hang; they may be told or ended by it.
        if error is None:
            self.close()
        else:
            self.session.workspace.close()

    def __dir__(self) -> list[str]:
        return sorted(name for name in dir(type(self)) if name[0] != "_")

    def __repr__(self) -> str:
        if not self.session.is_open:
            return "ThunderContext (closed)"
        return f"ThunderContext: rank {self.rank} of {self.size}"

    # -- images ----------------------------------------------------------------------------

    @action
    def loadImages(
        self,
        dataPath: Path | Sequence[Path],
        dims: Sequence[int] | None = None,
        dtype: object = None,
        inputFormat: str | None = None,
        ext: str | None = None,
        startIdx: int | None = None,
        stopIdx: int | None = None,
        recursive: bool = False,
        nplanes: int | str | None = None,
        channel: int | None = None,
        dataset: str | None = None,
        axes: str | None = None,
        confFilename: str = "conf.json",
        nchannels: int | None = None,
        incomplete: str | None = None,
        shape: Sequence[int] | None = None,
        order: str | None = None,
        flyback: int | Sequence[int] | None = None,
        pattern: str | None = None,
        follow: str | None = None,
    ) -> Images:
        """Images in files. Collective; reads the names and the first header, no pixels.

        Parameters
        ----------
        dataPath : path, or list of paths
            Directories, files, or patterns with wildcards. Within each, files sort naturally
            (``img2`` before ``img10``); a list keeps its order. A directory of Zarr counts as a
            file.
        dims, dtype : optional
            Of the images; needed for flat binary files without a ``conf.json``, which are then
            column-major, the first axis fastest, as in Thunder. Of other files they are checked.
        inputFormat : {'tif', 'png', 'stack', 'hdf5', 'zarr', 'npy', ...}, optional
            Also 'mmap', 'nd2', 'czi' and 'lif'. Default: told by the files' names. Other packages
            may add formats.
        ext : str, optional
            Of a directory or pattern only the files that end so, whatever the format's usual
            endings are.
        startIdx, stopIdx : int, optional
            Half-open slice of the sequence of images, as in Python; the keys begin at 0.
        recursive : bool
            Search the directories below a directory as well.
        nplanes : int or 'all', optional
            Cut each file into images of so many planes, whatever its header says: a movie in one
            file has ``nplanes=1``, one volume ``'all'``.
        channel : int, optional
            Which channel of a file with several, from 0.
        dataset, axes : str, optional
            Of HDF5, Zarr and NPY: which dataset (of Zarr the path of an array, or of a group
            with an image), and the order of its axes, slowest first, as ``'TZYX'``, or
            ``'TZCYX'`` with `channel`; axes of length 1 may be left out. In
            `dataset`, ``{t}`` stands for a number: one image, or movie, after the other.
        confFilename : str
            The description beside flat binary files.
        nchannels : int, optional
            The pages of TIFF files, and those along the Z of `axes`, are of so many channels,
            one of each in turn, whatever a header says; `channel` then picks one.
        incomplete : 'drop', optional
            Leave out what a TIFF, NPY or flat binary file has at its end of an image that is
            not whole, as of a recording that was stopped or is still being written; one line is
            logged. By default that is an error, unless `stopIdx` is before it.
        shape : optional
            In place of `dims`, where flat binary files are row-major, the last axis fastest.
        order : str, optional
            In which order the pages run, the fastest axis first: ``'CZT'`` by default, one page
            of each channel in turn, then the planes of a volume, then the volumes.
        flyback : int or sequence of int, optional
            Which planes of each volume are left out: the last so many, or those with these
            numbers, from 0. `nplanes` counts them.
        pattern : str, optional
            Where planes, channels or times lie in files of their own: what the names say, below
            the directory `dataPath`, as ``'t{t}/z{z}.tif'`` or ``'*_z{z}_c{c}_t{t}.tif'``.
            ``{t}`` and ``{z}`` stand for numbers, ``{c}`` for a number or a name, ``*`` for
            anything.
        follow : 'directory', optional
            Which other files HDF5 files may lead to, by external links and virtual datasets:
            those in their own directory and below. By default none.

        Raises
        ------
        FileNotFoundError
            Where there is nothing to load.
        FormatError
            Where the first file is damaged or of another format.
        ValueError
            Where the arguments contradict each other or the files.
        """
        with phase("list"):
            return loading.load_images(
                self.session,
                dataPath,
                {
                    "dims": dims,
                    "dtype": dtype,
                    "nplanes": nplanes,
                    "channel": channel,
                    "dataset": dataset,
                    "axes": axes,
                    "confFilename": confFilename,
                    "nchannels": nchannels,
                    "incomplete": incomplete,
                    "shape": shape,
                    "order": order,
                    "flyback": flyback,
                    "pattern": pattern,
                    "follow": follow,
                },
                inputFormat,
                ext,
                check_flag(recursive, "recursive"),
                (startIdx, stopIdx),
            )

    @action
    def loadImagesFromArray(self, array: object, local: bool = False) -> Images:
        """Images in memory, or in an array-like that is read on demand. Collective.

        Parameters
        ----------
        array : (n,) + dims ndarray or array-like, or None
            Integers or floats of at most 64 bits; bool counts as uint8. The same on all ranks,
            each of which keeps its slice; a 2-D array is one image. The ranks compare the shape,
            the dtype and the values: all of an array of up to 1 MB; of a larger one, on R ranks,
            every R-th image on all of them, and each slice on the rank that keeps it and the one
            before. Other images of a rank's array are neither compared nor used.

            What has a shape, a dtype and basic indexing, but is no ndarray (an array of dask, of
            zarr, or of `mpimages.open`, a dataset of h5py), and a memory map, is *read on demand*:
            when an action runs each rank reads its own images from it, a batch at a time. See
            Notes.
        local : bool
            Each rank gives its own images, None for none. They are put one after the other
            in the order of the ranks, and nothing is copied; of an array-like they are read into
            memory at once.

        Raises
        ------
        ValueError
            Where the ranks' arrays differ (with ``local``: in the shape or dtype of an image).
            When an array-like is read: where it gives something of another shape or dtype.
        TypeError
            For a dtype that is neither integer nor float.

        Notes
        -----
        Of an array-like the ranks compare the type, the shape and the dtype, and no values. It is
        kept, not copied: leave it alone, and open, while the collection is used. Images that lie
        in one chunk, as its ``chunks`` say, are read together; a chunk that two ranks share is read
        by both. A chunk must fit into the budget; what an array-like takes beyond that (dask, for
        what its chunks are made of) is not counted. Arrays of dask are computed in the thread that
        asks for them, without the scheduler that is set. Arrays of unknown types are asked by one
        thread at a time. A job that resumes compares type, shape, dtype and 16 of the records.
        """
        return loading.images_from_array(self.session, array, check_flag(local, "local"))

    @taking(loadImages)
    def loadImagesAsSeries(self, *args: Any, **kwargs: Any) -> Series:
        """``loadImages(...).toSeries()``, with the arguments of `loadImages`. Collective; lazy."""
        return self.loadImages(*args, **kwargs).toSeries()

    def loadExample(self, name: str | None = None) -> Any:
        """A simulated recording, or a small set. Collective; computes nothing yet.

        Parameters
        ----------
        name : str, optional
            'fish-images', 'mouse-images', 'moving-images'; 'fish-series', 'mouse-series'; 'iris',
            a Series of 150 records of 4 values in three groups; 'mouse-params', when each of the
            four stimuli of 'mouse-images' is shown. Without it the names are returned as a list.

        Returns
        -------
        Images, Series, or list of str
            Of 'mouse-params' a dict of names and (500,) float64 arrays: together the matrix of a
            regression.
        """
        return loading.load_example(self.session, name)

    @action
    def makeExample(
        self,
        dataset: str | None = None,
        seed: int | None = None,
        returnParams: bool = False,
        **opts: Any,
    ) -> Any:
        """A small simulated set whose structure is known. Collective; computes no records yet.

        Parameters
        ----------
        dataset : {'factor', 'ica', 'kmeans', 'pca', 'rand', 'sources'}, optional
            Without it the names are returned as a list.
        seed : int, optional
            The same for every number of ranks; by default one that rank 0 draws.
        returnParams : bool
            Return what the set was made of as well.
        **opts
            Of 'factor': q=1, p=3, nrows=50, sigmas=None. Of 'ica': nrows=100. Of 'kmeans': k=5,
            ndims=5, nrecords=100, noise=0.1. Of 'pca': k=3, nrows=100, ncols=10. Of 'rand':
            nrows=50, ncols=50. Of 'sources': dims=(100, 200), centers=5, t=100, margin=35, sd=3,
            noise=0.1.

        Returns
        -------
        Series, of 'sources' Images, or list of str
            float64. With `returnParams` a tuple of it and of ndarrays: of 'kmeans' the centers, of
            'pca' the two factors, of 'factor' factors, loadings and noise, of 'ica' the sources
            and the mixing matrix, of 'sources' centers and traces.

        Raises
        ------
        TypeError
            For a parameter that the set does not have.
        ValueError
            For an unknown name, or a value that cannot be.
        """
        given = check_flag(returnParams, "returnParams")
        return loading.make_example(self.session, dataset, seed, given, opts)

    @action
    def export(
        self, data: object, filename: Path, outputFormat: str | None = None, overwrite: bool = False
    ) -> None:
        """Write an array that all ranks have to one file, which rank 0 does. Collective.

        Parameters
        ----------
        data : array_like
            What an action has returned. Of other ranks only shape and dtype are looked at. Of a
            collection ``toArray()``, or a method that saves it.
        filename : path
        outputFormat : {'npy', 'txt'}, optional
            Default: the ending of `filename`. Text has a row a line, numbers with all their
            digits, and at most two dimensions.
        overwrite : bool
            Replace an NPY file, or a text of numbers.

        Raises
        ------
        FileExistsError
            Where there is another file, or with `overwrite` one of another kind.
        ValueError
            For another format, or text of more than two dimensions.
        """
        from .writers.export import export

        export(self.comm, data, filename, outputFormat, overwrite)

    # -- series ----------------------------------------------------------------------------

    @action
    def loadSeries(
        self,
        dataPath: Path,
        nkeys: int | None = None,
        nvalues: int | None = None,
        inputFormat: str | None = None,
        keyType: object = None,
        valueType: object = None,
        dataset: str = "series",
        confFilename: str = "conf.json",
    ) -> Series:
        """Series in files: binary, HDF5, Zarr, text or NPY. Collective; lazy.

        Parameters
        ----------
        dataPath : path
            A directory of a binary series as written here or by Thunder; an HDF5 file; a
            directory of Zarr, with time last or first; a text
            file (.txt) of a line for each record, its keys and then its values, separated by
            blanks; an NPY file of an array dims + (T,), or directories of the latter two. Of an NWB
            file the traces of its RoiResponseSeries are read, a record for each region.
        nkeys, nvalues, keyType, valueType : optional
            Of Thunder 0.x files: coordinates and values in a record, and their dtypes. Of text
            `nkeys` must be given: 0 where lines have values alone, which are then the records
            0, 1, 2 and so on. Its values are float64. Its keys may have any order, and must be
            all the pixels of a box.
        inputFormat : {'binary', 'hdf5', 'zarr', 'text', 'npy'}, optional
            Default: told by the path.
        dataset : str
            In an HDF5 file, or in a group of Zarr.
        confFilename : str
            The description in the directory of a binary series.

        Raises
        ------
        FileNotFoundError
            Where there is nothing to load.
        FormatError
            Where it is incomplete, damaged, or of another format. Of text, values are looked at
            when they are read.
        ValueError
            Where the arguments contradict each other or the files.
        MemoryError
            Where the places of all lines of text exceed the budget.
        """
        with phase("list"):
            return loading.load_series(
                self.session,
                dataPath,
                {
                    "nkeys": nkeys,
                    "nvalues": nvalues,
                    "inputFormat": inputFormat,
                    "keyType": keyType,
                    "valueType": valueType,
                    "dataset": dataset,
                    "confFilename": confFilename,
                },
            )

    @action
    def loadSeriesFromArray(
        self, array: object, index: Sequence[int] | np.ndarray | None = None, local: bool = False
    ) -> Series:
        """Series in memory, or in an array-like that is read on demand. Collective.

        Parameters
        ----------
        array : dims + (T,) ndarray or array-like, or None
            As in `loadImagesFromArray`; with ``local`` the ranks' rows are put one after the
            other along the first axis.
        index : sequence of int, or of lists of int, optional
            Labels of the T values; several each, if the index has levels.
        """
        return loading.series_from_array(self.session, array, index, check_flag(local, "local"))


def _import_first() -> None:
    for module in IMPORTED_FIRST:
        import_module(f".{module}", __package__)
