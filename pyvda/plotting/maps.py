"""Maps of truth, observations, analysis, error and spread, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyvda.errors import InputError
from pyvda.plotting.fields import (
    Array,
    PlottedField,
    PlottedPoints,
    edges,
    fields_of,
    grid_of,
    index,
    last_observed,
)
from pyvda.plotting.style import LAND, axes_of, figure_of, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPARSE = 0.2  # of the points: fewer observations, unless they touch, are drawn as dots
_SHOWN = (0.001, 0.999)  # quantiles of the values between which a scale lies
_WIDTH, _BAR = 1.9, 0.55  # width of a map and height of a colour bar, in inches
_STATES = ("truth", "observations", "analysis")
PANELS = (*_STATES, "error", "spread")


def plot_maps(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    variables: Sequence[str] | None = None,
    step: int | None = None,
    window: int = 0,
    observations: xr.Dataset | None = None,
    ax: Any = None,
) -> Array:
    """Draw maps of one time: truth, observations, analysis, error and spread, as far as known.

    Truth, observations and analysis share a scale. Each variable has a row; error and spread of a
    single one are below it where there are more than three maps.

    Parameters
    ----------
    analysis : Dataset
        Variables over (time, y, x) or (window, time, y, x), as `pyvda.assimilate` returns them.
    truth : Dataset, optional
        The same variables at these times, perhaps among others.
    variables : sequence of str, optional
        Default: all with two dimensions of space.
    step : int, optional
        Which time of the window, negative from its end. Default: the last with observations.
    window : int, optional
        Which window.
    observations : Dataset, optional
        Observations that are not on the grid, such as those along tracks: a row a datum, with the
        variable, time and positions. Those nearest to the time are drawn.
    ax : array of Axes, optional
        One for each map, in the order above. Default: a new figure.

    Returns
    -------
    array of Axes, one for each map, in the order above

    Raises
    ------
    InputError
        There is no such variable, step or window, or the truth is not that of the analysis.
    """
    fields = maps_of(analysis, truth, variables, window, observations)
    steps = [checked_step(field, step) for field in fields]
    with figure_of(ax) as figure:
        drawn = draw(figure, fields, steps, ax=ax)
    return np.array([image.axes for images in drawn for image in images.values()], object)


def plot_map(values: xr.DataArray, *, land: Array | None = None, ax: Axes | None = None) -> Axes:
    """Draw one field (y, x) with its colour bar.

    Parameters
    ----------
    values : DataArray (y, x)
        NaN, where there is no land, stays white.
    land : (y, x) of bool, optional
        Default: where `values` is NaN.
    ax : Axes, optional
        Cartopy's axes have the projection and coastlines that you give them; the field must be over
        latitude and longitude. Default: those of a new figure, the attribute `figure` of the
        result.

    Raises
    ------
    InputError
        The field does not have two dimensions.
    """
    if values.ndim != 2:
        raise InputError(
            f"a map has two dimensions, found {', '.join(map(str, values.dims)) or 'none'}; select "
            "a time or a level first"
        )
    name = str(values.name or "field")
    ds = xr.Dataset({name: values.reset_coords(drop=True)})
    ds[f"{name}_innovation"] = ds[name] * np.nan
    field = fields_of(ds, variables=[name])[0]
    dry = np.isnan(field.analysis[0])
    if land is not None:
        dry = xr.DataArray(land, dims=values.dims).transpose(*grid_of(values)).values
    with axes_of(ax, (_WIDTH + 1.2, _WIDTH + 0.5)) as axis:
        image = _map(axis, field, field.analysis[0], dry, _scale([field.analysis[0]]))
        axis.set_xlabel(field.axes[1].label)
        axis.set_ylabel(field.axes[0].label)
        axis.figure.colorbar(image, ax=axis).set_label(field.labelled())
    return axis


def maps_of(
    analysis: xr.Dataset,
    truth: xr.Dataset | None,
    variables: Sequence[str] | None,
    window: int,
    observations: xr.Dataset | None = None,
) -> list[PlottedField]:
    """Return the fields with two dimensions."""
    found = fields_of(
        analysis, truth, variables=variables, window=window, observations=observations
    )
    flat = [field for field in found if len(field.axes) == 2]
    if not flat or (variables is not None and len(flat) < len(found)):
        raise InputError(
            f"{found[0].name} has one dimension, and a map two; choose the kind hovmoller"
        )
    return flat


def checked_step(field: PlottedField, step: int | None) -> int:
    """Return a step of the window, by default the last with observations."""
    count = len(field.time)
    if step is None:
        return last_observed(field)
    step = index("step", step)
    if not -count <= step < count:
        raise InputError(f"there is no step {step} among the {count} of the window")
    return step % count


def draw(
    figure: Figure,
    fields: Sequence[PlottedField],
    steps: Sequence[int],
    *,
    fixed: bool = False,
    dots: bool = True,
    ax: Any = None,
) -> list[dict[str, Any]]:
    """Draw a row of maps for each field; return what is drawn, for each field by panel.

    A single field with more than three panels has two rows, so that its labels stay readable.

    Parameters
    ----------
    fixed : bool
        Whether scales hold for all times, not only the one that is drawn.
    dots : bool
        Whether few observations are drawn as dots.
    ax : array of Axes, optional
        See `plot_maps`.
    """
    drawn = []
    places = _places(figure, fields, ax)
    for number, (field, step, axes) in enumerate(zip(fields, steps, places, strict=True)):
        times = slice(None) if fixed else slice(step, step + 1)
        scale = scales(field, times)
        images: dict[str, Any] = {}
        for name, axis in axes.items():
            if name == "observations" and (dots or field.points is not None):
                images[name] = _observations(axis, field, step, scale[name])
            else:
                values = panel(field, name, step)
                images[name] = _map(axis, field, values, field.land, scale[name])
            if number == 0 or ax is not None:
                axis.set_title(field.called if name == "analysis" else name)
            if number == len(fields) - 1 or ax is not None:
                axis.set_xlabel(field.axes[1].label)
            else:
                axis.tick_params(labelbottom=False)
            spot = axis.get_subplotspec()
            if ax is not None or spot is None or spot.is_first_col():
                axis.set_ylabel(field.axes[0].label)
            else:
                axis.tick_params(labelleft=False)
        _bars(figure, field, axes, images)
        drawn.append(images)
    if ax is None:
        figure.suptitle(fields[0].at(steps[0]), fontsize=8)
    return drawn


def _places(figure: Figure, fields: Sequence[PlottedField], ax: Any) -> list[dict[str, Axes]]:
    """Return the axes of each field by the names of its panels: those given, or new ones."""
    shown = [[name for name in PANELS if _known(field, name)] for field in fields]
    if ax is not None:
        given = iter(panels(figure, 1, sum(map(len, shown)), ax)[0])
        return [{name: next(given) for name in of_field} for of_field in shown]
    rows = _rows([name for name in PANELS if any(name in one for one in shown)], len(fields))
    shapes = [_shape(field) for field in fields for _ in rows]
    heights = [min(max(_WIDTH * shape, 0.8), 5.0) for shape in shapes]
    columns = max(len(row) for row in rows)
    figure.set_size_inches(
        _WIDTH * columns + 0.4, sum(heights) + (_BAR + 0.3) * len(heights) + 0.35
    )
    grid = panels(figure, len(heights), columns, height_ratios=heights)
    # A colour bar's label and the titles of the maps below it stay apart.
    figure.set_layout_engine("constrained", h_pad=0.06, hspace=0.06)
    places = []
    for number, of_field in enumerate(shown):
        known: dict[str, Axes] = {}
        for row, names in zip(grid[number * len(rows) :], rows, strict=False):
            known |= dict(zip(names, row, strict=False))
        places.append({name: known[name] for name in of_field})
    for axis in set(grid.flat) - {axis for one in places for axis in one.values()}:
        axis.set_visible(False)
    return places


def _rows(panels: Sequence[str], fields: int) -> list[list[str]]:
    """Return the panels of each row of a field."""
    states = [name for name in panels if name in _STATES]
    if fields > 1 or len(panels) <= 3:
        return [list(panels)]
    return [states, [name for name in panels if name not in states]]


def _shape(field: PlottedField) -> float:
    """Return the height of a map by its width."""
    height, width = (float(np.ptp(axis.values)) or 1.0 for axis in field.axes)
    return field.aspect * height / width


def panel(field: PlottedField, name: str, step: int) -> Array:
    """Return what a panel shows at a step, (Y, X)."""
    known = {
        "truth": field.truth, "observations": field.observation, "analysis": field.analysis,
        "error": field.error, "spread": field.stdev,
    }  # fmt: skip
    return np.asarray({key: one[step] for key, one in known.items() if one is not None}[name])


def _known(field: PlottedField, name: str) -> bool:
    if name == "observations" and field.points is not None:
        return True
    if name == "observations":
        return field.observation is not None and bool(np.isfinite(field.observation).any())
    if name == "spread":
        return field.stdev is not None and bool(np.isfinite(field.stdev).any())
    return name == "analysis" or field.truth is not None


def scales(field: PlottedField, times: slice) -> dict[str, dict[str, Any]]:
    """Return the colour scale of each panel, from the values at some times."""
    states = _scale([field.analysis[times] if field.truth is None else field.truth[times]])
    found = dict.fromkeys(_STATES, states)
    if field.error is not None:
        largest = _largest(field.error[times])
        found["error"] = {"cmap": "PuOr_r", "vmin": -largest, "vmax": largest}
    if field.stdev is not None:
        found["spread"] = {"cmap": "cividis", "vmin": 0.0, "vmax": _largest(field.stdev[times])}
    return found


def _scale(arrays: list[Array]) -> dict[str, Any]:
    """Return a diverging scale about 0 for values of both signs, else a sequential one."""
    values = np.concatenate([a[np.isfinite(a)] for a in arrays])
    # A few extreme points, as beside a coast, would leave all others pale.
    low, high = np.quantile(values, _SHOWN) if len(values) else (-1.0, 1.0)
    largest = max(-low, high)
    if min(-low, high) > 0.1 * largest:
        return {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    return {"cmap": "viridis", "vmin": low, "vmax": high if high > low else low + 1.0}


def _largest(values: Array) -> float:
    known = np.abs(values[np.isfinite(values)])
    return float(np.quantile(known, _SHOWN[1])) or 1.0 if len(known) else 1.0


def _map(axis: Axes, field: PlottedField, values: Array, land: Array, scale: dict[str, Any]) -> Any:
    from matplotlib.colors import ListedColormap
    from matplotlib.ticker import MaxNLocator

    y, x = (edges(a.values) for a in field.axes)
    how: dict[str, Any] = {"rasterized": True, **_projected(axis)}
    axis.pcolormesh(
        x, y, np.ma.masked_where(~land, np.ones_like(values)), cmap=ListedColormap([LAND]), **how
    )
    image = axis.pcolormesh(
        x, y, np.ma.masked_invalid(np.where(land, np.nan, values)), **how, **scale
    )
    if "transform" in how:
        return image
    axis.set_aspect(field.aspect)
    axis.spines[:].set_visible(True)
    axis.xaxis.set_major_locator(MaxNLocator(3))  # labels of neighbouring maps stay apart
    return image


def _projected(axis: Axes) -> dict[str, Any]:
    """Return what cartopy's axes need to know of longitudes and latitudes."""
    if not hasattr(axis, "projection"):
        return {}
    from cartopy.crs import PlateCarree

    return {"transform": PlateCarree()}


def _observations(axis: Axes, field: PlottedField, step: int, scale: dict[str, Any]) -> Any:
    """Draw observations: as dots where they are few and apart, so that each can be seen."""
    if field.points is not None:
        points = field.points.near(field.time, step)
    else:
        values = panel(field, "observations", step)
        seen = np.isfinite(values)
        touching = (seen[:, 1:] & seen[:, :-1]).sum() > 0.5 * seen.sum()
        if seen.mean() > _SPARSE or touching:
            return _map(axis, field, values, field.land, scale)
        y, x = np.meshgrid(field.axes[0].values, field.axes[1].values, indexing="ij")
        points = PlottedPoints(values[seen], field.time[:0], (y[seen], x[seen]))
    _map(axis, field, np.full(field.land.shape, np.nan), field.land, scale)
    y, x = points.places
    size = float(np.clip(3000 / max(len(y), 1), 1.5, 12))
    outline: dict[str, Any] = {"linewidths": 0.2, "edgecolors": "0.5"}
    return axis.scatter(x, y, c=points.values, s=size, **outline, **scale)


def _bars(
    figure: Figure, field: PlottedField, axes: dict[str, Any], images: dict[str, Any]
) -> None:
    """Draw a colour bar for the states, one for the error and one for the spread."""
    states = [name for name in _STATES if name in images]
    for names, label in ((states, ""), (["error"], "error"), (["spread"], "spread")):
        if names[-1] in images:
            colour_bar(figure, images[names[-1]], [axes[name] for name in names]).set_label(
                field.labelled(label)
            )


def colour_bar(figure: Figure, image: Any, axes: Sequence[Axes]) -> Any:
    """Return a colour bar below maps that share a scale."""
    bar = figure.colorbar(
        image, ax=list(axes), location="bottom", aspect=25 * len(axes), shrink=0.8, pad=0.03
    )
    bar.outline.set_linewidth(0.4)
    return bar
