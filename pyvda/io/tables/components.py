"""The components of a state by number and by name, for tables that say what was observed."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import matching
from pyvda.io.tables import columns
from pyvda.models.model import Model
from pyvda.notices import notice


@dataclass(frozen=True)
class Components:
    """The names of the components of a state.

    Attributes
    ----------
    size : int
        Number of components D.
    names : tuple of str
        A name for each; empty where only their number is known.
    other_names : dict
        Further names, such as CF standard names, and the number of their component.
    model : Model, optional
        Whose state it is.
    """

    size: int
    names: tuple[str, ...] = ()
    other_names: dict[str, int] | None = None
    model: Model | None = None

    @classmethod
    def of(cls, state: Any) -> Components:
        """Return the components of a state given by size, names, a model, or a model's name.

        Raises
        ------
        InputError
            It is not one of these.
        """
        if isinstance(state, cls):
            return state
        if isinstance(state, str):
            from pyvda.models.registry import resolve

            state = resolve(state)
        if isinstance(state, Model):
            space = state.state_space
            if space is None:
                return cls(state.state_size, model=state)
            starts = {v.name: space.slices()[v.name].start for v in space.variables if v.size == 1}
            other = {v.standard_name: starts[v.name] for v in space.variables if v.name in starts}
            other.pop("", None)
            return cls(space.size, tuple(space.component_names()), other, state)
        if isinstance(state, Sequence) and state and all(isinstance(n, str) for n in state):
            if len(set(state)) != len(state):
                raise InputError(f"the components {', '.join(state)} need different names")
            return cls(len(state), tuple(state))
        if isinstance(state, int | np.integer) and not isinstance(state, bool) and state > 0:
            return cls(int(state))
        raise InputError(
            f"the state is {state!r}, expected the number of its components, their names, a model, "
            "or the name of one"
        )

    def number(self, name: Hashable, standard_name: str = "") -> int | None:
        """Return the number of the component of this name; None where there is none."""
        known = {one: k for k, one in enumerate(self.names)} | (self.other_names or {})
        found = known.get(str(name), known.get(standard_name) if standard_name else None)
        if found is None:
            found = matching.without_case(str(name), known)
        return found

    def numbers(self, labels: np.ndarray, called: str) -> np.ndarray:
        """Return the component of each datum, (N,) of int.

        Parameters
        ----------
        labels : (N,)
            Numbers from 0, or names.
        called : str
            The column, for messages.

        Raises
        ------
        InputError
            A label is not a component.
        """
        if labels.dtype.kind == "O" and all(isinstance(one, Real) for one in labels.flat):
            labels = labels.astype(float)
        if labels.dtype.kind in "iu" or (
            labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels % 1 == 0).all()
        ):
            found = labels.astype(int)
            if ((found < 0) | (found >= self.size)).any():
                raise InputError(
                    f"{called!r} must be names or integers from 0 to {self.size - 1}, found "
                    f"{found.min()} to {found.max()}"
                )
            return np.asarray(found)
        texts, inverse = np.unique(_as_text(labels), return_inverse=True)
        if all(text.isdecimal() for text in texts.tolist()):
            return self.numbers(texts.astype(int), called)[inverse]
        return self._by_name(texts.tolist(), called)[inverse]

    def has_all(self, called: np.ndarray) -> bool:
        """Tell whether all names in a column are components."""
        return all(self.number(one) is not None for one in set(_as_text(called).tolist()))

    def labels(self, called: np.ndarray) -> tuple[str, ...]:
        """Return the names in a column in the order of `numbers`, where these are all there is."""
        if self.names or called.dtype.kind in "fiu":
            return ()
        texts = np.unique(_as_text(called)).tolist()
        return () if all(text.isdecimal() for text in texts) else tuple(texts)

    def _by_name(self, texts: list[str], called: str) -> np.ndarray:
        if not self.names:
            if len(texts) != self.size:
                raise InputError(
                    f"{called!r} has the names {_some(texts)}, but which of the {self.size} "
                    "components these are is not known; give the names of all of them in place of "
                    "their number, or the model: on_grid(table, step, model)"
                )
            return np.arange(len(texts))
        found = [self.number(text) for text in texts]
        unknown = [text for text, number in zip(texts, found, strict=True) if number is None]
        if unknown:
            raise InputError(
                f"{called!r} has the name {unknown[0]!r}, but the components are "
                f"{_some(self.names)}; rename it, or give numbers from 0"
            )
        return np.array(found)


def in_model_order(ds: xr.Dataset, model: Model) -> xr.Dataset:
    """Return state vectors whose components have names or numbers in the order of the model's.

    Names along `state` that are not the model's are labels of the user's own, and stay, as do
    numbers that are not 0, 1, ... or 1, 2, ... in some order; components that are sorted by their
    numbers are said. Components of the model that the file does not have are not observed.
    """
    along = [n for n in columns.LABELS if n in ds.coords and ds[n].dims == (names.STATE,)]
    named = [name for name in along if ds[name].dtype.kind in "OUT"]
    if named and model.state_space is not None:
        components = Components.of(model)
        number = [components.number(label) for label in ds[named[-1]].values.tolist()]
        expected = list(range(components.size))
        if None in number or number == expected or len(set(number)) < len(number):
            return ds
        ds = _reordered(ds.drop_vars(named), np.array(number), components.size)
        return ds.assign_coords({names.STATE: [components.names[k] for k in expected]})
    if not along or named:
        return ds
    numbers = _permutation(ds[along[-1]].values, model.state_size)
    if numbers is None:
        return ds
    notice("the components of the state are not in order; they are sorted by their numbers")
    labels = ds[along[-1]].values[np.argsort(numbers)]
    return _reordered(ds, numbers, model.state_size).assign_coords({names.STATE: labels})


def _permutation(labels: np.ndarray, size: int) -> np.ndarray | None:
    """Return the numbers from 0 of components that are not in order; None: labels are no such."""
    if labels.dtype.kind not in "fiu" or labels.size != size:
        return None
    in_order = labels.min() + np.arange(size)
    unordered = (np.sort(labels) == in_order).all() and (labels != in_order).any()
    return (labels - labels.min()).astype(int) if unordered and labels.min() in (0, 1) else None


def _reordered(ds: xr.Dataset, number: np.ndarray, size: int) -> xr.Dataset:
    """Return state vectors with the component of each number at its place."""
    ds = ds.assign_coords({names.STATE: number})
    if len(number) < size:
        ds = ds.drop_vars(names.TRUTH, errors="ignore")
    ds = ds.reindex({names.STATE: np.arange(size)}, fill_value={names.POINT_OPERATOR: 0.0})
    if names.POINT_COMPONENT in ds.variables:
        component = ds[names.POINT_COMPONENT]
        ds[names.POINT_COMPONENT] = component.copy(data=number[component.values])
    return ds


def _as_text(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind == "S":
        labels = np.strings.decode(labels, "utf-8", "replace")
    flat = [one.decode() if isinstance(one, bytes) else str(one) for one in labels.ravel()]
    return np.strings.strip(np.array(flat, dtype=str))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
