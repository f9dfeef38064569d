"""Windows for training from files: observations, true states, or both, as `assimilate` reads them.

The windows are fixed: no engine simulates new ones, and no noise is drawn.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.engine import engine_for
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io import netcdf
from pyvda.io.cf import conventions
from pyvda.io.pairs import paired
from pyvda.io.quality import validation
from pyvda.learned import patterns
from pyvda.learned.description import OwnModel, Pattern
from pyvda.models.model import Model
from pyvda.models.registry import names as model_names
from pyvda.models.registry import recorded
from pyvda.state import windows
from pyvda.state.batch import Batch
from pyvda.training.data_settings import Files

_VALIDATION_SHARE = 0.2


class FileData:
    """Training and validation windows of a user's files; see `TwinData` for the interface.

    Parameters
    ----------
    settings : Files
    engine : str, optional
        Engine that computes the climatology for first guesses; see `pyvda.engine.get_engine`.

    Attributes
    ----------
    pattern : Pattern
        The pattern of the files' observations.
    model : Model
        The dynamical model of the states.
    states : (W, T, D)
        True states of the training windows; without a truth, their observations, NaN where there
        are none.
    validation : Batch
        The windows that select the best weights.
    calls_engine : bool
        Whether `epoch` calls the engine; it does not.

    Raises
    ------
    InputError
        A file cannot be read, or the files do not belong together.
    """

    calls_engine = False

    def __init__(self, settings: Files, engine: str | None = None) -> None:
        self.settings = settings
        model = self.model = settings.dynamics()
        everything, time_step = self._read(settings.observations, settings.truth)
        # Data are weighted relative to the mean variance of their file, as in an assimilation.
        variance = weighing = windows.reference_variance(everything)
        if settings.has_files_to_select_by():
            files = settings.validation_observations, settings.validation_truth
            training, (last, other) = everything, self._read(*files)
            _check_alike(everything, time_step, last, other)
            weighing = windows.reference_variance(last)
        else:
            training, last = _split(everything, settings.validation)
        known = names.TRUTH if settings.has_truth() else names.OBSERVATION
        self.states: Array = training[known].values
        self._check_states()
        mean = climatology(model, engine_for(model, engine)).mean
        self._training = windows.to_batch(training, mean, variance)
        self.validation = windows.to_batch(last, mean, weighing)
        self.pattern = Pattern(
            name=settings.name(), model=model.name, parameters=model.parameters,
            state_size=model.state_size, time_step=time_step, steps=self.states.shape[1],
            variance=variance or netcdf.stated_variance(everything),
            own=OwnModel.of(model, settings.model, mean) if settings.is_of_file() else None,
            sizes=model.sizes,
            **patterns.rule(np.asarray(self._training.mask) > 0),
        )  # fmt: skip

    def epoch(self, epoch: int) -> tuple[Batch, Array]:
        """Return the windows of an epoch in training order, and their numbers."""
        random = np.random.default_rng([self.settings.seed, epoch, 2])
        order = random.permutation(len(self._training))
        return self._training[order], order

    def distinct(self, epochs: int) -> int:
        """Return the number of distinct windows in the first `epochs` epochs."""
        return len(self._training) * min(epochs, 1)

    def _read(self, observations: str | None, truth: str | None) -> tuple[xr.Dataset, float]:
        """Return the windows of a pair of files, and their time step."""
        settings, model = self.settings, self.model
        ds = _opened(observations, truth, settings, model)
        stated = recorded(str(ds.attrs.get("model")))
        if stated in model_names() and stated != model.name:
            raise InputError(
                f"{observations or truth} says that it is of {stated}, and data.model is "
                f"{model.name}; correct one of them"
            )
        time_step = netcdf.model_time_step(ds, settings.time_step, model)
        ds, _ = windows.in_windows(ds, settings.window, settings.overlap)
        windows.check_state_size(ds, model.state_size, model.name)
        return ds, time_step

    def _check_states(self) -> None:
        """Refuse states of unknown or zero spread, which cannot be normalised."""
        by_component = self.settings.normalisation == "component"
        states = self.states.reshape(-1, self.states.shape[2] if by_component else 1)
        known = np.isfinite(states)
        for component, there in enumerate(known.T):
            values = states[there, component]
            if not len(values) or np.ptp(values) == 0:
                of = f"component {component} has" if by_component else "the training windows have"
                raise InputError(
                    f"{of} no two different values, so that there is no spread to normalise by; "
                    + ("choose normalisation: scalar" if by_component else "give other windows")
                )


def _opened(
    observations: str | None, truth: str | None, settings: Files, model: Model
) -> xr.Dataset:
    """Return observations with their truth; what is left out is not there, or NaN.

    A truth in the file of the observations counts only if the configuration names that file.
    """
    true = None if truth is None else _states(truth, settings.truth_variable, model)
    if observations is None:
        if true is None:
            raise ValueError("neither observations nor truth are given")
        return true.assign({names.OBSERVATION: true[names.TRUTH].where(False)})
    ds = netcdf.open_observations(observations, settings.variable, model=model)
    if names.POINT_OBSERVATION in ds:
        raise InputError(
            f"{observations} has observations between the steps ({names.POINT_OBSERVATION}), and "
            "training takes only those at the steps; put them on steps, or leave them out"
        )
    ds = ds.drop_vars(names.TRUTH, errors="ignore")
    if true is None:
        return ds
    states = true[names.TRUTH]
    states = paired(
        states, ds[names.OBSERVATION],
        called=f"truth in {truth}", beside=f"observation in {observations}",
    )  # fmt: skip
    return ds.assign({names.TRUTH: (states.dims, states.values)})


def _states(path: str, variable: str | None, model: Model) -> xr.Dataset:
    """Return `truth` and its coordinates, complete."""
    source = netcdf.open_dataset(path)
    if variable is None and names.TRUTH in source:
        variable = names.TRUTH
    found = conventions.as_float64(conventions.normalise(source, variable, model.state_space))
    validation.check_time(found)
    states = found[[names.OBSERVATION]].rename({names.OBSERVATION: names.TRUTH})
    missing = int((~np.isfinite(states[names.TRUTH].values)).sum())
    if missing:
        raise InputError(
            f"the truth in {path} has {missing} missing or infinite values, expected a number at "
            "every step; fill them, or leave out these windows or steps in all files"
        )
    return states


def _check_alike(training: xr.Dataset, step: float, selecting: xr.Dataset, other: float) -> None:
    """Refuse windows to select by that are of another length or step than those to train on."""
    steps, others = training.sizes[names.TIME], selecting.sizes[names.TIME]
    if steps != others or abs(step - other) > 1e-6 * step:
        raise InputError(
            f"the validation files have windows of {others} steps of {other:.6g}, the training "
            f"files of {steps} steps of {step:.6g}; give windows of one kind"
        )


def _split(ds: xr.Dataset, validation: int | None) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the windows to train on and the last ones, to select by.

    The last, because neighbours in a series resemble each other: weights that are selected by
    later times than were trained on do not get away with remembering.
    """
    count = ds.sizes[names.WINDOW]
    held = validation or max(1, round(_VALIDATION_SHARE * count))
    first = max(count - held, 0)
    before = np.arange(first)
    if names.WINDOW_START in ds.coords:
        starts = ds[names.WINDOW_START].values
        before = before[starts[before] + ds.sizes[names.TIME] <= starts[first]]
    if not len(before):
        raise InputError(
            f"the files make {count} windows, of which {held} are for validation and none of the "
            "others has its steps for itself; give a longer series, cut it into shorter windows "
            "(data.window, data.overlap), or lower data.validation"
        )
    return ds.isel(window=before), ds.isel(window=slice(first, None))
