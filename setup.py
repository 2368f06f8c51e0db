"""Builds the kernels: one extension module for each .pyx, from it and its C file."""

import os
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

# No -march: each function is compiled for several levels and the one to run is chosen at run time.
# No contraction and no -ffast-math: every level must give the same bits.
FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra"]
LINK_FLAGS = []
if os.environ.get("MPIMAGES_SANITIZE") == "1":
    SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover", "-g"]
    FLAGS += SANITIZERS
    LINK_FLAGS += SANITIZERS

# The C files of each kernel module; what is shared between modules is in headers alone.
SOURCES = {
    "isa": ["isa.c"],
    "limits": ["limits.c"],
    "moments": ["moments.c", "tree.c"],
    "projection": ["projection.c"],
    "runs": ["runs.c"],
    "series": ["series.c"],
    "transpose": ["transpose.c"],
}
HEADERS = sorted(str(path) for path in Path("src_c").glob("*.h"))


def extension(name: str, sources: list[str]) -> Extension:
    return Extension(
        f"mpimages.kernels.{name}",
        [f"mpimages/kernels/{name}.pyx", *(f"src_c/{source}" for source in sources)],
        include_dirs=["src_c", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=FLAGS,
        extra_link_args=LINK_FLAGS,
        libraries=["m"],
        depends=[*HEADERS, "mpimages/kernels/isa.pxd"],
    )


setup(
    ext_modules=cythonize(
        [extension(name, sources) for name, sources in SOURCES.items()],
        compiler_directives={"language_level": 3, "boundscheck": False},
        build_dir="build/cython",
    ),
    options={"build_ext": {"parallel": os.cpu_count()}},
)
