"""HDF5's filters, and those of plug-ins: each reader, writer and check finds them here. Local."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import FormatError

if TYPE_CHECKING:
    import h5py

# As they are registered with the HDF Group; a file may name its filters, but need not.
FILTER_NAMES = {
    4: "szip",
    307: "bzip2",
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32017: "SZ",
    32018: "FCIDECOMP",
    32019: "JPEG",
    32024: "SZ3",
    32026: "Blosc2",
    32028: "SPERR",
}


def filters_of(dataset: h5py.Dataset) -> list[tuple[int, str]]:
    """The number and name of each filter that a dataset's chunks go through when written."""
    plist = dataset.id.get_create_plist()
    found = (plist.get_filter(i) for i in range(plist.get_nfilters()))
    return [
        (number, FILTER_NAMES.get(number) or name.decode("utf-8", "replace"))
        for number, _, _, name in found
    ]


def stored_chunks(dataset: h5py.Dataset) -> list[h5py.h5d.StoreInfo]:
    """What is stored of a chunked dataset: ``size``, ``filter_mask`` … of each chunk."""
    if hasattr(dataset.id, "chunk_iter"):
        chunks: list[h5py.h5d.StoreInfo] = []
        dataset.id.chunk_iter(chunks.append)
        return chunks
    return [dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks())]


def has_filter(number: int) -> bool:
    """Whether HDF5's filter `number` is there; registers those of hdf5plugin if need be."""
    from h5py import h5z

    if h5z.filter_avail(number):
        return True
    try:
        import hdf5plugin  # noqa: F401
    except Exception:  # whatever a package that is installed badly raises: it is not there
        return False
    return bool(h5z.filter_avail(number))


def require_filters(path: str, dataset: h5py.Dataset) -> None:
    """Raise FormatError unless each filter is there that a dataset's chunks went through."""
    for place, (number, name) in enumerate(filters_of(dataset)):
        if has_filter(number):
            continue
        # A chunk may have left out a filter that its writer did not have.
        if all(chunk.filter_mask >> place & 1 for chunk in stored_chunks(dataset)):
            continue
        raise FormatError(
            f"{path}: dataset {dataset.name} is compressed by HDF5's filter {number} "
            f"({name or 'without a name'}), which is not available here: install the package "
            "hdf5plugin, or set HDF5_PLUGIN_PATH to the directory of a plug-in that has it"
        )
