#!/bin/sh
# Run the kernels' tests under AddressSanitizer and UndefinedBehaviorSanitizer, from a copy of the
# package, so that the modules in place stay as they are. Arguments go to pytest.
#
#   PYTHON=python3 src_c/sanitize.sh
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
compiler=${CC:-gcc}
mkdir -p "$root/build"
copy=$(mktemp -d "$root/build/sanitize-XXXXXX")
trap 'rm -rf "$copy"' EXIT

cp -r "$root/setup.py" "$root/pyproject.toml" "$root/src_c" "$copy"
mkdir -p "$copy/mpimages/kernels" "$copy/tests/support"
cp "$root"/mpimages/kernels/*.py "$root"/mpimages/kernels/*.pyx "$root"/mpimages/kernels/*.pxd \
    "$copy/mpimages/kernels"
touch "$copy/README.md" "$copy/LICENSE" "$copy/tests/__init__.py"
echo '__version__ = "0"' > "$copy/mpimages/__init__.py"  # setuptools reads it
cp -r "$root/tests/kernels" "$copy/tests"
cp "$root/tests/support/__init__.py" "$root/tests/support/twins.py" "$copy/tests/support"

cd "$copy"
MPIMAGES_SANITIZE=1 CC=$compiler "$python" setup.py -q build_ext --inplace
# Else the tests could pass with the modules of an installed package.
ldd mpimages/kernels/moments.*.so | grep -q libasan
cat > tests/conftest.py <<END
from mpimages.kernels import moments
assert moments.__file__.startswith("$copy/"), moments.__file__
END
# A sanitizer writes to descriptor 2 and ends the process: were it captured, nobody would read it.
# Leaks are the interpreter's own: it does not free everything at exit.
LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
    "$python" -m pytest -o addopts= -o filterwarnings= -p no:cacheprovider --capture=sys \
    -q -n 2 tests "$@"
