"""In a notebook an error is a few lines, and its whole traceback is there for a bug report."""

import re

import pytest

from ..support import notebook

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # those of the kernel's client are not ours
]
CELLS = {
    "setup": """
        import sys, traceback
        import numpy as np
        import mpimages
        from mpimages import ThunderContext, verify
        tsc = ThunderContext()
        images = tsc.loadExample('fish-images')
        series = images.toSeries()
        def corner(image):
            return image[99]
        def wrapped(image):
            try:
                return 1 // 0
            except ZeroDivisionError as error:
                raise LookupError('mine') from error
    """,
    "wrong path": "tsc.loadImages('wrong/path')",
    "whole": "%tb Verbose",
    "frames": "print(len(traceback.extract_tb(sys.last_value.__traceback__)))",
    "wrong call": "images.mean(axis=0)",
    "of a class": "ThunderContext(memory='much')",
    "of a function": "verify('nothing/here')",
    "of a setter": "series.index = [1, 2]",
    "of the user": "images.apply(corner).mean()",
    "in a loop": "for image in images.apply(corner): pass",
    "of the user, with its cause": "images.apply(wrapped).max()",
    "caught and kept": """
        try:
            tsc.loadImages('wrong/path')
        except FileNotFoundError as error:
            raise RuntimeError('my program') from error
    """,
    "not ours": "np.zeros(3).reshape(2)",
    "always whole": "%xmode Verbose\ntsc.loadImages('wrong/path')",
    "tab": """
        from IPython.core.completer import provisionalcompleter
        completer = get_ipython().Completer
        with provisionalcompleter():
            for text in ('images.', 'series.', 'tsc.', 'mpimages.'):
                print(*(found.text for found in completer.completions(text, len(text))))
    """,
}


@pytest.fixture(scope="module")
def said():
    """What each cell answers, as text without colours."""
    import textwrap

    import nbformat

    cells = [nbformat.v4.new_code_cell(textwrap.dedent(code).strip()) for code in CELLS.values()]
    for cell in cells:
        cell.metadata["tags"] = ["raises-exception"]
    run = notebook.executed(nbformat.v4.new_notebook(cells=cells))
    texts = []
    for cell in run.cells:
        parts = ["\n".join(o["traceback"]) if "traceback" in o else o["text"] for o in cell.outputs]
        texts.append(re.sub(r"\x1b\[[0-9;]*m", "", "".join(parts)))
    return dict(zip(CELLS, texts, strict=True))


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("wrong path", "FileNotFoundError: wrong/path: no such file or directory"),
        ("wrong call", "Images.mean() got an unexpected keyword argument 'axis'"),
        ("of a class", "memory"),
        ("of a function", "FileNotFoundError: "),
        ("of a setter", "an index of 2 labels"),
    ],
)
def test_an_error_is_a_few_lines(said, case, told):
    lines = said[case].splitlines()
    assert len(lines) <= 9, said[case]
    assert told in said[case]
    assert "in rank" not in lines[3]
    assert f"----> 1 {CELLS[case]}" in lines
    assert "File " not in said[case]
    assert lines[-1] == "(without the frames inside of mpimages: %tb Verbose shows them)"


@pytest.mark.parametrize("case", ["whole", "always whole"])
def test_its_whole_traceback_is_there(said, case):
    assert "mpimages/loading.py" in said[case]
    assert "FileNotFoundError" in said[case]


def test_the_exception_has_kept_its_frames(said):
    assert int(said["frames"]) > 5


@pytest.mark.parametrize("case", ["of the user", "in a loop"])
def test_the_users_own_frames_are_shown(said, case):
    assert "in corner(image)" in said[case]
    assert re.search("^-+> .*return image.99.", said[case], re.MULTILINE)
    assert "mpimages/" not in said[case]


def test_what_led_to_an_error_is_shown(said):
    assert "ZeroDivisionError" in said["of the user, with its cause"]
    assert "in wrapped(image)" in said["of the user, with its cause"]
    assert "mpimages/" not in said["of the user, with its cause"]
    assert "RuntimeError: my program" in said["caught and kept"]
    assert "FileNotFoundError" in said["caught and kept"]


def test_an_error_of_others_is_theirs(said):
    assert "without the frames" not in said["not ours"]


def test_completion_has_public_names_alone(said):
    import mpimages

    images, series, context, package = (set(line.split()) for line in said["tab"].splitlines())
    assert package == {*mpimages.__all__, "open"} - {"__version__"}
    assert {"mean", "shape", "toSeries", "metadata"} <= images
    assert {"index", "select"} <= series
    assert {"loadImages", "rank"} <= context
    for names in (images, series, context):
        assert {"records", "session"}.isdisjoint(names)
        assert not any(name.startswith("_") for name in names)
