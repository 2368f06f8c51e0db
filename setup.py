"""Builds the kernels: a static library for each folder of src_c, an extension for each .pyx."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_clib import build_clib
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError

# No -march: each function is compiled for several levels and the one to run is chosen at run time.
# No contraction and no -ffast-math: every level must give the same bits.
# No -g, which many Pythons add: it takes a sixth of the time.
FLAGS = ["-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-g0"]
LINK_FLAGS = []
CORES = len(os.sched_getaffinity(0))

NO_COMPILER = """
mpimages has kernels in C, and here they could not be compiled:
  {error}
Either install a C compiler, and Python's headers where they are missing:
  apt install gcc python3-dev, or conda install gcc, or on a cluster module load gcc
or make a wheel on a machine with a compiler and the same system and Python, and install that here:
  there `make wheel`, here `pip install mpimages-*.whl`"""
if os.environ.get("MPIMAGES_SANITIZE") == "1":
    SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover", "-g"]
    FLAGS += SANITIZERS
    LINK_FLAGS += SANITIZERS

# The libraries that each extension links; one that calls another comes first.
LIBRARIES = {
    "boxes": ["boxes"],
    "correlate": ["correlate"],
    "isa": ["isa"],
    "moments": ["moments", "tree"],
    "projection": ["projection", "moments", "tree"],
    "registration": ["registration"],
    "runs": ["runs"],
    "series": ["series"],
    "transpose": ["transpose"],
    "warp": ["warp"],
}
# The folders whose headers a library includes, besides its own and common/.
INCLUDES = {"projection": ["moments"], "tree": ["moments"]}


def files(*folders: str) -> list[str]:
    """The C files and headers of folders of src_c, and those that all include."""
    paths = [Path("src_c/mpimages.h")]
    for folder in ("common", *folders):
        paths += sorted(Path("src_c", folder).glob("*.[ch]"))
    return [str(path) for path in paths]


def library(name: str) -> tuple[str, dict]:
    return f"mpim_{name}", {
        "sources": [f"src_c/{name}/{name}.c"],
        "obj_deps": {"": files(name, *INCLUDES.get(name, []))},
        "include_dirs": ["src_c"],
        "cflags": ["-O3", *FLAGS],
    }


def extension(name: str, libraries: list[str]) -> Extension:
    return Extension(
        f"mpimages.kernels.{name}",
        [f"mpimages/kernels/{name}.pyx"],
        include_dirs=["src_c", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        # What Cython writes only checks arguments and calls the libraries: nothing in it is hot.
        extra_compile_args=["-O1", *FLAGS],
        extra_link_args=LINK_FLAGS,
        libraries=[*(f"mpim_{library}" for library in libraries), "m"],
        depends=[*files(*libraries), *map(str, Path("mpimages/kernels").glob("*.pxd"))],
    )


@contextmanager
def told() -> Iterator[None]:
    """Say what to do where nothing can be compiled; a traceback would hide it."""
    try:
        yield
    except CCompilerError as error:
        raise SystemExit(NO_COMPILER.format(error=error)) from None


class BuildLibraries(build_clib):
    """Builds the libraries side by side."""

    def build_libraries(self, libraries: list[tuple[str, dict]]) -> None:
        build = super().build_libraries
        with told(), ThreadPoolExecutor(CORES) as pool:
            list(pool.map(lambda one: build([one]), libraries))


class BuildExtensions(build_ext):
    """Builds what the extensions link first, also where it is called by itself."""

    def run(self) -> None:
        self.run_command("build_clib")
        with told():
            super().run()


setup(
    cmdclass={"build_clib": BuildLibraries, "build_ext": BuildExtensions},
    libraries=[library(name) for name in sorted({x for use in LIBRARIES.values() for x in use})],
    ext_modules=cythonize(
        [extension(name, libraries) for name, libraries in LIBRARIES.items()],
        compiler_directives={"language_level": 3, "boundscheck": False},
        build_dir="build/cython",
    ),
    options={"build_ext": {"parallel": CORES}},
)
