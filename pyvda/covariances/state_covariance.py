"""A covariance of the named variables of a state, which can be written to a file and read again."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from pyvda.covariances import description
from pyvda.errors import InputError
from pyvda.io.cf.orientation import differing, order_in_model
from pyvda.io.cf.units import factor
from pyvda.operators.covariance import Array, Covariance
from pyvda.state.space import StateSpace


class StateCovariance(Covariance):
    """A covariance of variables on their grids, made by `pyvda.fit_covariance`.

    Parameters
    ----------
    ds : Dataset
        Its description, see `pyvda.covariances.description`.

    Attributes
    ----------
    space : StateSpace
        The variables with their dimensions and land.
    dataset : Dataset
        The description.

    Raises
    ------
    InputError
        The Dataset is not a description of a covariance.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self.space: StateSpace = description.space_of(ds)
        self._operator = description.operator_of(ds)
        self.dataset = ds
        self.size, self.rank = self._operator.size, self._operator.rank

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> StateCovariance:
        """Return the covariance of a file that `save` or `pyvda covariance` wrote.

        Raises
        ------
        InputError
            The file cannot be read or is not a covariance.
        """
        from pyvda.io.sources.open import open_dataset

        ds = open_dataset(path)
        try:
            return cls(ds)
        except InputError as error:
            raise InputError(f"{Path(path)}: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the covariance to a netCDF file (or zarr store), completely or not at all."""
        from pyvda.io.writing.save import save_analysis

        save_analysis(self.dataset, path)

    def apply(self, v: ArrayLike) -> Array:
        """Return C v, (..., D)."""
        return self._operator.apply(v)

    def sqrt(self, w: ArrayLike) -> Array:
        """Return S w, (..., D)."""
        return self._operator.sqrt(w)

    def sqrt_adjoint(self, v: ArrayLike) -> Array:
        """Return Sᵀ v, (..., rank)."""
        return self._operator.sqrt_adjoint(v)

    def solve(self, v: ArrayLike) -> Array:
        """Return C⁻¹ v, (..., D).

        Raises
        ------
        InputError
            C is singular, or its inverse is not known.
        """
        return self._operator.solve(v)

    def variance(self) -> Array:
        """Return the diagonal of C, (D,); 0 on land."""
        return self._operator.variance()

    def expect_space(self, space: StateSpace) -> None:
        """Raise InputError unless it is a covariance of states of `space`, in their order."""
        own, expected = (
            [(v.name, v.dims, v.shape) for v in s.variables] for s in (self.space, space)
        )
        if own != expected:
            raise InputError(
                f"it is a covariance of {_written(self.space)}, and the model's state is "
                f"{_written(space)}; fit one to states of the model"
            )
        for dim in space.sizes:
            order = order_in_model(self.dataset, dim, dim, space)
            if order is not None:
                points, own_points = self.dataset[dim].values, space.coordinate(dim)
                raise InputError(
                    f"its coordinate {dim} runs from {points[0]:g} to {points[-1]:g}, and the "
                    f"model's from {own_points[0]:g} to {own_points[-1]:g}; fit one to states in "
                    f"the model's order, such as ds.sortby({dim!r})"
                )
        for dim, stated in space.coordinates:
            at = differing(self.dataset, dim, np.asarray(stated))
            if at is not None:
                raise InputError(
                    f"its coordinate {dim} is {self.dataset[dim].values[at]:g} at the point "
                    f"{at} from 0, and the model's is {stated[at]:g}; fit one to states at the "
                    "model's points, or give the states the model's coordinates"
                )
        for one, other in zip(self.space.variables, space.variables, strict=True):
            times = factor(one.units, other.units) if one.units and other.units else None
            if times is not None and not math.isclose(times, 1.0, rel_tol=1e-6):
                raise InputError(
                    f"it is a covariance of {one.name} in {one.units}, and the model's is in "
                    f"{other.units}; fit one to states in these units"
                )
        moved = int((self.variance()[~space.sea] > 0).sum())
        if moved:
            raise InputError(
                f"it has variance at {moved} points that are land in the model; fit one to states "
                "that are missing there"
            )

    def summary(self) -> list[str]:
        """Return lines that say what the covariance is: its form, deviations and lengths."""
        attrs = self.dataset.attrs
        form = str(attrs["form"])
        if form == "hybrid":
            static = f"{attrs['static_weight']:.3g} {attrs['static_form']}"
            form = f"{static} + {attrs['ensemble_weight']:.3g} ensemble"
        lines = [f"{form} covariance of {_written(self.space)}{_from(attrs)}"]
        deviation = np.sqrt(self.variance())
        for variable, place in zip(self.space.variables, self.space.slices().values(), strict=True):
            part = deviation[place]
            part = part[part > 0]
            units = "" if variable.units in ("", "1") else f" {variable.units}"
            rms = np.sqrt((part**2).mean()) if len(part) else 0.0
            line = f"{variable.name}: sigma {rms:.3g}{units}"
            if len(part) > 1:
                line += f" ({part.min():.3g} to {part.max():.3g})"
            lines.append(line + _length(self.dataset, variable.name))
        if attrs.get("localisation_radius"):
            lines.append(f"localisation radius: {attrs['localisation_radius']:.3g} grid spacings")
        return lines


def _from(attrs: dict[str, object]) -> str:
    return f", from {attrs['samples']}" if attrs.get("samples") else ""


def _length(ds: xr.Dataset, name: str) -> str:
    """Return the length scale as a file states it, and where fitted the power law."""
    if f"{name}_spectrum" in ds:
        attrs = ds[f"{name}_spectrum"].attrs
        found = (
            f", length {attrs['length_scale']:.3g} grid spacings" if "length_scale" in attrs else ""
        )
        if "power_law_exponent" in attrs:
            found += (
                f", spectrum (1 + ({attrs['power_law_length']:.3g} k)^2)^"
                f"-{attrs['power_law_exponent']:.3g}"
            )
        return found
    if f"{name}_length" in ds:
        length = ds[f"{name}_length"]
        low, high = float(length.min()), float(length.max())
        found = f", length {float(length.mean()):.3g} {length.attrs.get('units', 'grid spacings')}"
        return found + (f" ({low:.3g} to {high:.3g})" if high > low else "")
    return ""


def _written(space: StateSpace) -> str:
    """Return the variables with their sizes: psi (y=129, x=129)."""
    found = []
    for variable in space.variables:
        sizes = ", ".join(f"{dim}={n}" for dim, n in variable.sizes.items())
        found.append(f"{variable.name} ({sizes})" if sizes else variable.name)
    return ", ".join(found)
