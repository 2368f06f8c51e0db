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
    """Images written to files, by all ranks: as series, pictures, TIFF, HDF5 or flat binary."""

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
        from ..conversion.saving import Content, Target, save_frames

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
