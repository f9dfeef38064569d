"""Files of figures are written whole, or refused by their name."""

import os
import subprocess
import sys

import pytest

from pyvda.errors import InputError
from pyvda.plotting.style import axes_of, new_figure, plain_ticks, save_figure


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_equal_figures_give_equal_files(kind, tmp_path) -> None:
    for name in "ab":
        with new_figure() as figure:
            figure.subplots().plot([1, 2])
        save_figure(figure, tmp_path / f"{name}.{kind}", dpi=40)
    first, second = (tmp_path / f"{name}.{kind}" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_other_formats_are_refused(tmp_path) -> None:
    with new_figure() as figure, pytest.raises(InputError, match=r"must end in \.png"):
        save_figure(figure, tmp_path / "a.doc")


def test_axes_are_given_or_new() -> None:
    with axes_of(None, (2.0, 1.0)) as axis:
        assert tuple(axis.figure.get_size_inches()) == (2.0, 1.0)
    with axes_of(axis, (9.0, 9.0)) as same:
        assert same is axis


def test_few_decades_have_ticks_between() -> None:
    import numpy as np

    with axes_of(None, (2.0, 2.0)) as axis:
        axis.loglog([1, 2], [3.0, 40.0])
        plain_ticks(axis, np.array([3.0, 40.0]))
        axis.figure.canvas.draw()
        labels = [text.get_text() for text in axis.get_yticklabels()]
    assert {"5", "10", "20"} <= set(labels)


def test_a_notebook_draws_a_figure_that_pyplot_has_not_made() -> None:
    shells = pytest.importorskip("IPython.core.interactiveshell")
    shell = shells.InteractiveShell.instance()
    try:
        with new_figure() as figure:
            figure.subplots().plot([1, 2])
        shown, _ = shell.display_formatter.format(figure)
        assert shown["image/png"].startswith(b"\x89PNG")
        # A choice of the user's is left alone.
        shell.display_formatter.formatters["image/png"].pop(type(figure))
        shell.display_formatter.formatters["image/svg+xml"].for_type(
            type(figure), lambda _: "<svg/>"
        )
        with new_figure() as figure:
            shown, _ = shell.display_formatter.format(figure)
        assert "image/png" not in shown
    finally:
        shells.InteractiveShell.clear_instance()


def test_figures_are_pyplot_s_where_pyplot_or_a_notebook_shows_them() -> None:
    pytest.importorskip("IPython")
    program = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from pyvda.plotting.style import user_figure
for _ in "ab":
    with user_figure() as figure:
        pass
assert "matplotlib.pyplot" not in sys.modules
shell = InteractiveShell.instance()
with user_figure() as shown:
    pass
import matplotlib.pyplot as plt
assert plt.isinteractive()  # otherwise the next figure is not shown
with user_figure() as other:
    pass
try:
    with user_figure():
        raise KeyError
except KeyError:
    pass
assert [plt.figure(number) for number in plt.get_fignums()] == [shown, other]
assert shown.get_layout_engine() is not None
"""
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
