"""Animations have a frame a time and show its data."""

import numpy as np
import pytest
from matplotlib.animation import FFMpegWriter
from PIL import Image
from plotting.gridded import LAND, made

from pyvda.errors import InputError
from pyvda.plotting.animation import animate_maps, save_animation


def test_a_frame_for_each_time(tmp_path) -> None:
    analysis, truth = made()
    animation = animate_maps(analysis, truth)
    figure = animation._fig
    found = {axis.get_title(): axis for axis in figure.axes if axis.get_title()}
    for step in (3, 1):
        animation._func(step)
        values = np.ma.filled(found["analysis"].collections[1].get_array(), np.nan)
        np.testing.assert_array_equal(values.reshape(LAND.shape), analysis["sst"][0, step])
        assert figure._suptitle.get_text() == f"time {step}"
    save_animation(animation, tmp_path / "a.gif", dpi=40)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 4
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.skipif(not FFMpegWriter.isAvailable(), reason="needs ffmpeg")
def test_an_mp4_is_written_where_ffmpeg_is_installed(tmp_path) -> None:
    save_animation(animate_maps(*made()), tmp_path / "a.mp4", dpi=40)
    assert (tmp_path / "a.mp4").read_bytes()[4:8] == b"ftyp"
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_other_files_are_refused_in_one_sentence(tmp_path, monkeypatch) -> None:
    animation = animate_maps(*made())
    animation._draw_was_started = True  # it is not to be shown
    with pytest.raises(InputError, match=r"must end in \.gif"):
        save_animation(animation, tmp_path / "a.png")
    monkeypatch.setattr("matplotlib.animation.FFMpegWriter.isAvailable", lambda: False)
    with pytest.raises(InputError, match=r"ffmpeg is not installed; write a \.gif"):
        save_animation(animation, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())
