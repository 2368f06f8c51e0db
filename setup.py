"""Builds the kernels: a static library for each folder of src_c, an extension for each .pyx."""

import os
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# No -march: each function is compiled for several levels and the one to run is chosen at run time.
# No contraction and no -ffast-math: every level must give the same bits.
FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra"]
LINK_FLAGS = []
if os.environ.get("MPIMAGES_SANITIZE") == "1":
    SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover", "-g"]
    FLAGS += SANITIZERS
    LINK_FLAGS += SANITIZERS

# The libraries that each extension links; one that calls another comes first.
LIBRARIES = {
    "isa": ["isa"],
    "moments": ["moments", "tree"],
    "projection": ["projection", "moments", "tree"],
    "runs": ["runs"],
    "series": ["series"],
    "transpose": ["transpose"],
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
        "cflags": FLAGS,
    }


def extension(name: str, libraries: list[str]) -> Extension:
    return Extension(
        f"mpimages.kernels.{name}",
        [f"mpimages/kernels/{name}.pyx"],
        include_dirs=["src_c", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=FLAGS,
        extra_link_args=LINK_FLAGS,
        libraries=[*(f"mpim_{library}" for library in libraries), "m"],
        depends=[*files(*libraries), *map(str, Path("mpimages/kernels").glob("*.pxd"))],
    )


class BuildExtensions(build_ext):
    """Builds what the extensions link first, also where it is called by itself."""

    def run(self) -> None:
        self.run_command("build_clib")
        super().run()


setup(
    cmdclass={"build_ext": BuildExtensions},
    libraries=[library(name) for name in sorted({x for use in LIBRARIES.values() for x in use})],
    ext_modules=cythonize(
        [extension(name, libraries) for name, libraries in LIBRARIES.items()],
        compiler_directives={"language_level": 3, "boundscheck": False},
        build_dir="build/cython",
    ),
    options={"build_ext": {"parallel": os.cpu_count()}},
)
