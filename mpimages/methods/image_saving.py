"""Methods of Images that write files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..core.public import public
from ..spmd.actions import action, stoppable
from .conversion import ImageConversion

if TYPE_CHECKING:
    from ..conversion.planning import Plan

__all__ = ["ImageSaving"]


@public
class ImageSaving(ImageConversion):
    """Images written to files, by all ranks: series, pictures, TIFF, HDF5, Zarr or flat binary."""

    @action
    def plan(
        self,
        ranks: int | None = None,
        memory: int | str | None = None,
        chunks: object = None,
        compression: object = None,
    ) -> Plan:
        """What saving these images as a Series will take; rank 0 prints it. Collective.

        No pixels are read.

        Parameters
        ----------
        ranks : int, optional
            By default those there are.
        memory : int or str, optional
            As in `saveAsBinarySeries`.
        chunks, compression
            As in `saveAsHDF5`, where it is to be compressed.

        Returns
        -------
        Plan

        Raises
        ------
        MemoryError
            Where the conversion would be refused.
        """
        from ..conversion.saving import plan_series
        from ..core.sizes import parse_size

        budget = None if memory is None else parse_size(memory)
        begun, images = self.records.begin("plan", memory=budget)
        return plan_series(begun, images, ranks, chunks, compression)

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
        """``toSeries().saveAsBinarySeries(...)``. Collective; an action."""
        self.toSeries().saveAsBinarySeries(path, blockSize, overwrite, resume, memory)

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
        layout : {'series', 'images'}
            The dataset is dims + (T,), or frame-major, (T,) + dims.
        path, dataset, chunks, compression, overwrite, resume, memory
            As in `Series.saveAsHDF5`.
        """
        from ..conversion.hdf5 import save_frames
        from ..conversion.saving import Content, Target

        if not isinstance(layout, str) or layout != "images":
            self.toSeries().saveAsHDF5(
                path, dataset, layout, chunks, compression, overwrite, resume, memory
            )
            return
        target = Target.checked(path, overwrite, resume, memory)
        begun, images = self.records.begin("saveAsHDF5", 1, target.memory)
        known = begun.known(images)
        content = Content.of_images(known, self.metadata, self.records.inputs)
        save_frames(begun, known, content, target, dataset, chunks, compression)

    @action
    @stoppable
    def saveAsZarr(
        self,
        path: str | os.PathLike[str],
        layout: str = "images",
        chunks: object = None,
        shards: int | str | bool | None = None,
        compression: object = "zstd",
        levels: int = 0,
        version: int = 3,
        overwrite: bool = False,
        resume: bool = False,
        memory: int | str | None = None,
    ) -> None:
        """Write a directory of Zarr, from all ranks: OME-Zarr of images. Collective; an action.

        Images become an OME-Zarr 0.5, or 0.4 with ``version=2``, which napari, Fiji, xarray and
        dask open: a group of the array ``0`` with the axes (t, y, x), of volumes (t, z, y, x),
        and of smaller ones beside it where there are `levels`. Sizes of pixels and the time
        between images are stored where they are known. The files and their bytes follow from the
        images and the arguments alone, never from the ranks.

        Parameters
        ----------
        path : path
            A new directory, such as ``recording.ome.zarr``; its parent must exist.
        layout : {'images', 'series'}
            ``'series'`` is ``toSeries().saveAsZarr(...)``, one array ``series`` of dims + (T,).
        chunks : tuple of int, or None or 'auto'
            Shape of a chunk in the array's axes, which is read and compressed as a whole. By
            default whole planes: several where they are small (1 MiB), parts of those larger than
            16 MiB.
        shards : int, str, False or None
            Bytes of values, such as ``'500MB'``, that one file holds at most, in chunks that
            readers take one by one; at least one chunk. None: 1 GB. False: a file for each
            chunk, as with ``version=2``, which has no shards.
        compression : str, tuple or None
            ``'zstd'``, ``'blosc'`` (Zstandard after a shuffle of bits) or ``'gzip'``, or with a
            level: ``('zstd', 3)``. None: the values as they are.
        levels : int
            How many further arrays there are, for viewers: each pixel of ``k`` is the mean of
            2^k x 2^k pixels of the rows and columns of ``0``, in the same dtype, of integers
            exact and rounded to the nearest, ties to even.
        version : {3, 2}
            Of Zarr.
        overwrite, resume, memory
            As in `Series.saveAsBinarySeries`.

        Raises
        ------
        FileExistsError
            As `Series.saveAsBinarySeries`.
        ValueError
            Where the images are neither 2-D nor 3-D, or an argument does not fit them, or there
            would be more than 100,000 files.
        MemoryError
            Where the images that share a chunk do not fit into the budget.
        """
        from ..conversion.saving import Content, Target
        from ..conversion.zarr import ZarrOptions, save_zarr_images
        from ..writers.zarr.layout import check_form

        target = Target.checked(path, overwrite, resume, memory)
        check_form(layout, shards, levels, version)
        form = (chunks, shards, compression, levels, version)
        if layout == "series":
            self.toSeries().saveAsZarr(path, layout, *form, overwrite, resume, memory)
            return
        options = ZarrOptions(layout, *form)
        begun, images = self.records.begin("saveAsZarr", 1, target.memory)
        known = begun.known(images)
        content = Content.of_images(known, self.metadata, self.records.inputs)
        save_zarr_images(begun, known, content, target, options)

    @action
    @stoppable
    def saveAsPngs(
        self,
        path: str | os.PathLike[str],
        *,
        cmap: object = "gray",
        vmin: float | None = None,
        vmax: float | None = None,
        norm: object = None,
        alpha: float | None = None,
        origin: str = "upper",
        filePrefix: str = "export",
        overwrite: bool = False,
        **imshow: object,
    ) -> None:
        """Write each 2-D image as a PNG, a pixel of the file for each of the image.

        Collective; an action (two without `vmin` and `vmax`: the first finds them). The files
        are ``export-00000.png`` and so on, numbered by key.

        Parameters
        ----------
        path : path
            A new directory; its parent must exist.
        cmap, vmin, vmax, norm, alpha, origin
            As in matplotlib's imshow. Without `vmin` or `vmax` all images share one scale, the
            range of their finite values, so that a movie does not flicker.
        filePrefix : str
            With which the files' names begin.
        overwrite : bool
            Replace what mpimages wrote there before.

        Raises
        ------
        ValueError
            Where the images are not 2-D.
        TypeError
            For other options of imshow; it says why.
        FileExistsError
            Where there is something already, or what mpimages did not write.
        """
        from ..conversion.pictures import save_pngs
        from ..writers.png import check_imshow_options

        check_imshow_options(imshow)
        options = {
            "cmap": cmap,
            "vmin": vmin,
            "vmax": vmax,
            "norm": norm,
            "alpha": alpha,
            "origin": origin,
        }
        begun, images = self.records.begin("saveAsPngs", least=1)
        save_pngs(begun, images, path, filePrefix, overwrite, options)

    @action
    @stoppable
    def saveAsTifs(
        self, path: str | os.PathLike[str], *, filePrefix: str = "export", overwrite: bool = False
    ) -> None:
        """Write each image or volume as a TIFF in its own dtype, a page for each plane.

        Collective; an action. The files are ``export-00000.tif`` and so on, numbered by key.

        Parameters
        ----------
        path : path
            A new directory; its parent must exist.
        filePrefix : str
            With which the files' names begin.
        overwrite : bool
            Replace what mpimages wrote there before.
        """
        from ..conversion.pictures import save_tifs

        begun, images = self.records.begin("saveAsTifs", least=1)
        save_tifs(begun, images, self.metadata, path, filePrefix, overwrite)

    @action
    @stoppable
    def saveAsBinaryImages(
        self, path: str | os.PathLike[str], prefix: str = "image", overwrite: bool = False
    ) -> None:
        """Write each image or volume as a flat binary file. Collective; an action.

        The files are ``image-00000.bin`` and so on, numbered by key: the values alone, in their
        own dtype, little-endian, column-major (the first axis the fastest). ``conf.json`` has
        ``dims`` and ``dtype``, and an empty ``SUCCESS`` is written at the end, as by Thunder 0.x,
        which reads them; Thunder 1.x does with ``order='F'``. `ThunderContext.loadImages` takes
        the directory.

        Parameters
        ----------
        path : path
            A new directory; its parent must exist.
        prefix : str
            With which the files' names begin.
        overwrite : bool
            Replace what mpimages wrote there before.

        Raises
        ------
        ValueError
            Where the images are neither 2-D nor 3-D.
        FileExistsError
            Where there is something already, or what mpimages did not write.
        """
        from ..conversion.pictures import save_binary

        begun, images = self.records.begin("saveAsBinaryImages", least=1)
        save_binary(begun, images, path, prefix, overwrite)

    @action
    @stoppable
    def saveAsTif(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write all images or volumes as one multi-page TIFF in their own dtype.

        Collective; an action. All ranks write their pages into the file, whose bytes do not
        depend on how many ranks there are. A page is a plane of an image; the first page's
        description is that of an ImageJ hyperstack. From about 4 GiB on it is a BigTIFF, which
        ImageJ opens by Bio-Formats, as it does TIFFs of other dtypes than uint8, uint16, int16
        and float32.

        Parameters
        ----------
        path : path
            A new file; its parent must exist.
        overwrite : bool
            Replace what mpimages wrote there before.

        Raises
        ------
        ValueError
            Where the images are neither 2-D nor 3-D, or a page has 4 GiB or more.
        TypeError
            For a dtype that TIFF does not have.
        FileExistsError
            Where there is something already, or what mpimages did not write.
        """
        from ..conversion.pictures import save_tif

        begun, images = self.records.begin("saveAsTif", least=1)
        save_tif(begun, images, self.metadata, path, overwrite)
