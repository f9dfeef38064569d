"""Maps of all times of a window, as an animated GIF or an MP4 film."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.writing.atomic import replacing
from pyvda.plotting.maps import draw, maps_of, panel
from pyvda.plotting.style import STYLE, new_figure

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation

KINDS = (".gif", ".mp4")


def animate_maps(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    variables: Sequence[str] | None = None,
    window: int = 0,
    observations: xr.Dataset | None = None,
    frames_per_second: float = 5.0,
) -> FuncAnimation:
    """Return an animation of the maps of `plot_maps`, a frame a time, on scales that stay.

    Parameters and errors are those of `plot_maps`; `frames_per_second` is that of the animation.
    """
    from matplotlib.animation import FuncAnimation

    fields = maps_of(analysis, truth, variables, window, observations)
    with new_figure() as figure:
        images = draw(figure, fields, [0] * len(fields), fixed=True, dots=False)
    title: Any = figure._suptitle  # type: ignore[attr-defined]

    def show(step: int) -> list[Any]:
        title.set_text(fields[0].at(step))
        for field, row in zip(fields, images, strict=True):
            for name, image in row.items():
                if name == "observations" and field.points is not None:
                    points = field.points.near(field.time, step)
                    image.set_offsets(np.stack(points.places[::-1], 1))
                    image.set_array(points.values)
                    continue
                values = panel(field, name, step)
                image.set_array(np.ma.masked_invalid(np.where(field.land, np.nan, values)))
        return [image for row in images for image in row.values()]

    return FuncAnimation(
        figure, show, frames=len(fields[0].time), interval=1000 / frames_per_second, blit=False
    )


def save_animation(
    animation: FuncAnimation, path: str | os.PathLike[str], *, dpi: float = 110
) -> None:
    """Write an animation as GIF or, where ffmpeg is installed, MP4, completely or not at all.

    Raises
    ------
    InputError
        The name ends in neither .gif nor .mp4, or it is an MP4 and there is no ffmpeg.
    """
    from matplotlib import rc_context
    from matplotlib.animation import FFMpegWriter, PillowWriter

    path = Path(path)
    check_animation(path)
    rate = round(1000 / animation._interval)  # type: ignore[attr-defined]
    writer: Any = PillowWriter(rate) if path.suffix.lower() == ".gif" else FFMpegWriter(rate)
    with replacing(path) as temporary, rc_context(STYLE):
        # matplotlib chooses the format by the name, which is a temporary one.
        named = temporary.with_name(temporary.name + path.suffix.lower())
        try:
            animation.save(os.fspath(named), writer=writer, dpi=dpi)
            os.replace(named, temporary)
        finally:
            named.unlink(missing_ok=True)


def check_animation(path: Path) -> None:
    """Raise InputError unless an animation can be written to a file of this name."""
    from matplotlib.animation import FFMpegWriter

    kind = path.suffix.lower()
    if kind not in KINDS:
        raise InputError(
            f"cannot write an animation to {path}; its name must end in .gif, or .mp4 with ffmpeg"
        )
    if kind == ".mp4" and not FFMpegWriter.isAvailable():
        raise InputError(f"cannot write {path}: ffmpeg is not installed; write a .gif")
