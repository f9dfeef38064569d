"""Consistency checks of a file as a whole, for which single windows are too short.

    >>> report = report_on(analysis)                                        # doctest: +SKIP
    >>> print(report)                                                       # doctest: +SKIP

With the right model and error statistics, `names.FIT` has the mean 1 over the windows (twice the
minimum of the objective is a chi-square variable of as many degrees of freedom as there are data),
and innovations have neither a mean nor a correlation in time. Each deviation that is both certain
and large is a finding with a sentence on what it suggests; it puts every window in doubt. A point
of a field with few data is not judged alone: all such points of a field are judged together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.special import betainc, ndtr, pdtrc, stdtr, stdtrit

from pyvda import names
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.cf import layout
from pyvda.names import Doubt, Flag, Status

ATTRIBUTE = "pyvda_report"
"""Attribute of an analysis: its report in words."""

# A finding must be certain, with this probability of an error, and large.
_CHANCE = 2e-4
# The mean fit differs from 1 by more; that of a method of members, whose spread is estimated from
# them and whose updates are linear, is accurate to less.
_FIT, _FIT_OF_MEMBERS = 0.06, 0.12
_BIAS = 0.12  # root mean squares of the innovations
_CORRELATION = 0.08
_OUTLIERS, _FAR = 0.015, 3.0  # share of innovations beyond so many standard deviations
_ALIKE, _MOST_GROUPS = 100, 16  # innovations of alike spread, whose size is taken together
_USUAL_FAR = 0.0027
_MOST = 1 << 21  # innovations that are looked at
_PIECES, _FEWEST_PIECES = 64, 4  # of a series that is longer: its 64ths, and at least so many
_DOUBTFUL = 0.05  # share of windows
_FEW = 8  # windows, below which the spread between them is not used, or data of a window
_OWN = 30  # data from which the deviation of a component is known by itself
# Few data for the size of the state say more of the prior than of the errors: at least so many for
# each component, or so many whatever the size.
_LOOSE, _ENOUGH = 3, 30
_SINGLE = Doubt.MISFIT_LARGE | Doubt.OTHER_STATES | Doubt.EQUAL_VALUES | Doubt.FEW_SAMPLES


@dataclass(frozen=True)
class Statistic:
    """A mean over windows, its 95 % interval, and the chance of one as far from the expected."""

    mean: float
    low: float
    high: float
    chance: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Report:
    """Consistency statistics of the analyses in a file.

    Attributes
    ----------
    windows : int
    status, doubts : dict of str to int
        Windows of each status, and with each doubt.
    rejected : int
        Observations with the flag `rejected`.
    fit : Statistic, optional
        Mean of `names.FIT`, 1 if model and errors are as stated; None where nothing states them.
    bias : dict of str to Statistic
        Mean innovation of each observed component, or of the points of a field that have few data
        each, in root mean squares of its innovations.
    correlation : Statistic, optional
        Correlation of consecutive innovations of a component.
    outliers : float, optional
        Share of innovations beyond three standard deviations; 0.0027 are expected.
    findings : tuple of str
        What is wrong with the file, and what that suggests, one sentence each.
    """

    windows: int
    status: dict[str, int]
    doubts: dict[str, int]
    rejected: int = 0
    fit: Statistic | None = None
    bias: dict[str, Statistic] = field(default_factory=dict)
    correlation: Statistic | None = None
    outliers: float | None = None
    findings: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = []
        if self.fit is not None:
            lines.append(f"mean fit {self.fit} (1 is expected)")
        if self.rejected:
            s = "" if self.rejected == 1 else "s"
            lines.append(f"{self.rejected} observation{s} rejected")
        lines += [f"{_WORDS[name]}: {_of(n, self.windows)}" for name, n in self.doubts.items()]
        return "\n".join([*lines, *self.findings])

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it: names as keys, no numbers that are not finite."""
        return asdict(self)


_WORDS = {
    "misfit_large": "misfit larger than the observation errors allow",
    "misfit_small": "misfit smaller than the stated observation errors allow",
    "other_states": "other states fit the data nearly as well",
    "equal_values": "a sensor repeats one value",
    "equal_signs": "innovations stay on one side",
    "few_samples": "too few samples near the observations",
    "spread_limited": "stated spread limited to the climatology's",
    "other_pattern": "observed in another way than in the training",
    "whole_file": "in doubt because of the file as a whole",
}


def with_report(analysis: xr.Dataset) -> xr.Dataset:
    """Return the analysis with its report as an attribute, and all windows in doubt if need be.

    Parameters
    ----------
    analysis : Dataset
        With pyvda's names; status and doubts are in memory. What is lazy is read in this thread, an
        array at a time.
    """
    with _one_at_a_time(analysis):
        report = report_on(analysis)
        if report.findings:
            analysis = analysis.assign(doubted(analysis))
            report = report_on(analysis)
    said = {ATTRIBUTE: str(report)} if str(report) else {}
    return analysis.assign_attrs(said)


def _one_at_a_time(analysis: xr.Dataset) -> contextlib.AbstractContextManager[Any]:
    if all(v.chunks is None for v in analysis.variables.values()):
        return contextlib.nullcontext()
    import dask.config

    return dask.config.set(scheduler="synchronous")


def doubted(analysis: xr.Dataset, found: Any = True) -> dict[str, xr.DataArray]:
    """Return status and doubts of windows of a file that is in doubt as a whole.

    Parameters
    ----------
    analysis : Dataset
        In memory or lazy.
    found : bool or scalar dask array
        Whether the file is in doubt.
    """
    status, doubts = analysis[names.STATUS], analysis[names.DOUBTS]
    judged = ~status.isin([int(Status.DIVERGED), int(Status.NO_OBSERVATIONS)])
    usual = status.isin([int(Status.CONVERGED), int(Status.ITERATION_LIMIT)])
    return {
        names.STATUS: status.where(~(usual & found), np.int8(Status.DOUBTFUL)),
        names.DOUBTS: doubts.where(~(judged & found), doubts | np.int16(Doubt.WHOLE_FILE)),
    }


def report_on(analysis: xr.Dataset) -> Report:
    """Return the report on an analysis, in memory or in a file that was opened."""
    return report_of(sampled(analysis))


class SampledFile(NamedTuple):
    """The data of a report.

    Attributes
    ----------
    status, doubts, fit : (W,)
        Values of all windows.
    rejected : int
        Observations with the flag `rejected`.
    innovation : (S, T, D)
        Innovations of the windows `chosen`, or of pieces of a series.
    chosen : (S,) of int, optional
        None for a series, whose windows overlap.
    share : float
        Share of the series that the pieces make up.
    fields : sequence of (str, slice)
        Variables of the state, see `layout.variables`.
    starts : (W,) of int, optional
        First step of each window of a series, increasing.
    steps : int
        Number of steps of the series, or of a window.
    stdev : (S, T, D), optional
        Stated standard deviation of the analysis.
    of_members : bool
        Whether the method is one of members, see `methods.statistics.EnsembleOptions`.
    own_fit : bool
        Whether the fit is that of the method; else, with `spread`, that of the posterior, from
        which the innovations of the analysis may differ, however right model and errors are.
    """

    status: Any
    doubts: Any
    fit: Any
    rejected: Any
    innovation: Any
    chosen: Any
    share: float
    fields: Any
    starts: Any = None
    steps: int = 0
    stdev: Any = None
    of_members: bool = False
    own_fit: bool = True


def sampled(analysis: xr.Dataset) -> SampledFile:
    """Return the data of the report on an analysis, lazy where the analysis is.

    If there are more than `_MOST` innovations, a sample is taken, spread evenly over the windows
    or the series, so that a file of any size is judged within little memory.

    Raises
    ------
    InputError
        The analysis has no innovations.
    """
    per_window = [analysis[name].data for name in (names.STATUS, names.DOUBTS, names.FIT)]
    status, doubts, fit = (a if a.ndim else a.reshape(1) for a in per_window)
    flags = [layout.output_vectors(analysis, name) for name in (names.FLAG, names.POINT_FLAG)]
    rejected = sum((f.data == Flag.REJECTED).sum() for f in flags if f is not None)
    innovation = layout.output_vectors(analysis, names.INNOVATION)
    if innovation is None:
        raise InputError(
            "the file has no innovations, expected an analysis made by `pyvda assimilate`; "
            "assimilate the observations again"
        )
    fields = tuple(layout.variables(analysis, innovation.sizes[names.STATE]))
    stdev = layout.output_vectors(analysis, names.STATE_STDEV)
    both = [one for one in (innovation, stdev) if one is not None]
    members = names.MISFIT in analysis
    own = members or names.OBJECTIVE in analysis or names.EFFECTIVE_SAMPLE_SIZE in analysis
    if names.WINDOW in innovation.dims:
        chosen = _spread(innovation.sizes[names.WINDOW], innovation.size, 1)
        if len(chosen) < innovation.sizes[names.WINDOW]:
            both = [one.isel({names.WINDOW: chosen}) for one in both]
        d, *spread = [one.data for one in both]
        return SampledFile(
            status, doubts, fit, rejected, d, chosen, 1.0, fields, stdev=_only(spread),
            of_members=members, own_fit=own,
        )  # fmt: skip
    steps = innovation.sizes[names.TIME]
    length = steps if innovation.size <= _MOST else max(1, steps // _PIECES)
    first = _spread(steps // length, innovation.size, _FEWEST_PIECES) * length
    d, *spread = [
        _concatenated([one.isel({names.TIME: slice(k, k + length)}).data[None] for k in first])
        for one in both
    ]
    only = np.zeros(1, int) if len(status) == len(first) == 1 else None
    starts = analysis[names.WINDOW_START].data if names.WINDOW_START in analysis.coords else None
    return SampledFile(
        status, doubts, fit, rejected, d, only, len(first) * length / steps, fields, starts, steps,
        _only(spread), members, own,
    )  # fmt: skip


def _only(spread: list[Any]) -> Any:
    return spread[0] if spread else None


def _spread(count: int, size: int, least: int) -> Array:
    """Return numbers of windows or pieces, evenly spread, of at most `_MOST` values together."""
    number = count if size <= _MOST else max(least, count * _MOST // size)
    return np.unique(np.linspace(0, count - 1, min(number, count)).round().astype(int))


def _concatenated(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import dask.array

    return dask.array.concatenate(parts)


def report_of(sample: SampledFile) -> Report:
    """Return the report on an analysis of which a sample is in memory."""
    status, doubts = np.asarray(sample.status), np.asarray(sample.doubts).astype(int)
    judged = (status != Status.DIVERGED) & (status != Status.NO_OBSERVATIONS)
    counts: dict[str, Any] = {
        "windows": len(status),
        "status": {s.name.lower(): int((status == s).sum()) for s in Status if (status == s).any()},
        "doubts": {
            str(d.name).lower(): int((doubts & d > 0).sum()) for d in Doubt if (doubts & d).any()
        },
        "rejected": int(sample.rejected),
    }
    ratio = np.asarray(sample.fit)
    known = judged & np.isfinite(ratio)
    if not known.any():
        return Report(**counts)
    single = known & (doubts & int(_SINGLE) > 0)
    usual = known & ~single if 2 * single.sum() <= known.sum() else known
    innovation = np.asarray(sample.innovation, float)
    number = np.isfinite(innovation).sum((1, 2))
    chosen = sample.chosen  # None where windows of a series were merged
    misfit = int((known & (doubts & int(Doubt.MISFIT_LARGE) > 0)).sum())
    own = _own_share(sample)
    findings = _of_misfits(misfit, int(known.sum()), own)
    if chosen is not None:
        usual = usual[chosen] & (number >= _FEW)
        usual &= number > min(_LOOSE * innovation.shape[2], _ENOUGH)
        ratio = ratio[chosen]
    if not usual.any():
        return Report(**counts, findings=tuple(findings))
    all_data = number.sum() / sample.share
    data = number[usual].mean() if chosen is not None else all_data / (own * len(usual))
    fit = _estimate(ratio[usual], 1.0, np.sqrt(2.0 / max(float(data), 1.0)), own)
    stdev = None if sample.stdev is None else np.asarray(sample.stdev, float)
    if chosen is not None:
        innovation = innovation[usual]
        stdev = None if stdev is None else stdev[usual]
    bias, correlation, outliers, chance = _of_innovations(innovation, stdev, sample.fields)
    found = [*_of_fit(fit, _FIT_OF_MEMBERS if sample.of_members else _FIT), *findings]
    if sample.own_fit:
        found = [*_of_bias(bias), *_of_outliers(outliers, chance), *_of_correlation(correlation),
                 *found]  # fmt: skip
    return Report(
        **counts, fit=fit, bias=bias, correlation=correlation, outliers=outliers,
        findings=tuple(found),
    )  # fmt: skip


def _own_share(sample: SampledFile) -> float:
    """Return the number of independent windows over that of all.

    Windows that overlap share data: they are worth as many as would cover the series once.
    """
    if sample.starts is None or len(sample.starts) < 2:
        return 1.0
    starts = np.asarray(sample.starts)
    length = sample.steps - int(starts[-1])  # windows that overlap are equally long
    if (np.diff(starts) >= length - 1).all():
        return 1.0
    return min(1.0, sample.steps / (len(starts) * length))


def _of_fit(fit: Statistic, least: float) -> list[str]:
    if fit.chance > _CHANCE or abs(fit.mean - 1) < least:
        return []
    if fit.mean > 1:
        return [
            f"the misfit is {fit} times what the stated errors allow: the model (its parameters, "
            "its time step, an error that it makes) or the observation errors are not as stated; "
            "see model_error, parameters and observation_variance"
        ]
    return [
        f"the misfit is only {fit} times what the stated errors imply: the observation errors, or "
        "that of the model where the method has one, are overstated; see observation_variance and "
        "model_error"
    ]


def _of_bias(bias: dict[str, Statistic]) -> list[str]:
    found = []
    for what, one in bias.items():
        # The more components are looked at, the more of them stand out by chance.
        if one.chance * len(bias) <= _CHANCE and abs(one.mean) >= _BIAS:
            found.append(
                f"the innovations of {what} have the mean {one} times their root mean square: its "
                "observations are biased, or the model is"
            )
    return found


def _of_correlation(correlation: Statistic | None) -> list[str]:
    if correlation is None or correlation.mean < _CORRELATION or correlation.chance > _CHANCE:
        return []
    return [
        f"consecutive innovations have the correlation {correlation}: the model drifts from the "
        "data within a window, which suggests its parameters or its clock, or the observation "
        "errors are correlated in time"
    ]


def _of_outliers(share: float | None, chance: float) -> list[str]:
    if share is None or share < _OUTLIERS or chance > _CHANCE:
        return []
    return [
        f"{100 * share:.2g} % of the innovations are beyond three standard deviations (0.27 % are "
        "expected): some observations have gross errors"
    ]


def _of_misfits(doubtful: int, windows: int, own: float) -> list[str]:
    # The chance of as many or more, binomial, of `own` times as many independent windows.
    if not doubtful or betainc(own * doubtful, own * (windows - doubtful) + 1, _DOUBTFUL) > _CHANCE:
        return []
    return [
        f"the data of {_of(doubtful, windows)} cannot be fitted: those that can be are not to be "
        "trusted either"
    ]


def _of_innovations(
    d: Array, stdev: Array | None, fields: Sequence[tuple[str, slice]]
) -> tuple[dict[str, Statistic], Statistic | None, float | None, float]:
    """Return the biases, the correlation of neighbours, the share of outliers and its chance."""
    bias: dict[str, Statistic] = {}
    products, square, pairs, count = 0.0, 0.0, 0, 0
    far, judged = 0, 0
    for what, columns in _together(np.isfinite(d).sum((0, 1)), fields):
        part = np.swapaxes(d[:, :, columns], 1, 2)
        there = np.isfinite(part)
        window, column, _ = np.nonzero(there)
        own = part[there]
        size = float(np.sqrt(np.mean(own**2))) if len(own) else 0.0
        if size == 0 or len(own) < _FEW:
            continue
        number = np.bincount(window, minlength=len(d))
        means = (np.bincount(window, own, minlength=len(d)) / np.maximum(number, 1))[number > 0]
        bias[what] = _estimate(means / size, 0.0, np.sqrt(len(means) / len(own)))
        if len(own) >= _OWN:
            alike = None if stdev is None else np.swapaxes(stdev[:, :, columns], 1, 2)[there]
            far += _far(own, alike)
            judged += len(own)
        scaled = own / size
        same = (window[1:] == window[:-1]) & (column[1:] == column[:-1])
        products += float((scaled[1:] * scaled[:-1])[same].sum())
        pairs += int(same.sum())
        square += float((scaled**2).sum())
        count += len(own)
    if not count:
        return bias, None, None, 1.0
    correlation = None
    if pairs >= _FEW:
        value, error = products / pairs * count / square, 1 / np.sqrt(pairs)
        correlation = _interval(value, error, 0.0, np.inf)
    if not judged:
        return bias, correlation, None, 1.0
    return bias, correlation, far / judged, float(pdtrc(far - 1, _USUAL_FAR * judged))


def _far(own: Array, stdev: Array | None) -> int:
    """Return the number of innovations (n,) beyond three of their standard deviations.

    These are taken from the median of their sizes. An innovation has the variance R - σ², so that
    where the spread σ varies only those of alike σ are compared.
    """
    count = 1 if stdev is None else min(max(len(own) // _ALIKE, 1), _MOST_GROUPS)
    order = np.arange(len(own)) if stdev is None or count == 1 else np.argsort(stdev, kind="stable")
    far, middle = 0, np.median(own)
    for group in np.array_split(np.abs(own - middle)[order], count):
        spread = 1.4826 * float(np.median(group))
        far += int((group > _FAR * (spread or np.inf)).sum())
    return far


def _together(count: Array, fields: Sequence[tuple[str, slice]]) -> Iterator[tuple[str, Array]]:
    """Yield groups of components judged together, with their label.

    Parameters
    ----------
    count : (D,)
        Data of each component.
    fields : list of (name, slice)
        Points of a field with few data each are alike; other components stand alone.
    """
    alone = count > 0
    for name, place in fields:
        few = np.zeros(len(count), bool)
        few[place] = (count[place] > 0) & (count[place] < _OWN)
        if few.any():
            alone &= ~few
            yield name, np.flatnonzero(few)
    for component in np.flatnonzero(alone):
        yield f"component {component}", np.array([component])


def _estimate(values: Array, expected: float, deviation: float, own: float = 1.0) -> Statistic:
    """Return the mean, with the sample deviation or, for few values, the given one.

    The values are worth `own` times as many independent ones.
    """
    n = own * len(values)
    error = (float(np.std(values, ddof=1)) if n >= _FEW else deviation) / np.sqrt(n)
    return _interval(float(np.mean(values)), float(error), expected, n - 1 if n >= _FEW else np.inf)


def _interval(mean: float, error: float, expected: float, freedom: float) -> Statistic:
    """Return an estimate whose error, relative to `error`, has Student's distribution."""
    far = abs(mean - expected) / max(error, 1e-300)
    tail = stdtr(freedom, -far) if np.isfinite(freedom) else ndtr(-far)
    half = (stdtrit(freedom, 0.975) if np.isfinite(freedom) else 1.96) * error
    return Statistic(mean, mean - half, mean + half, 2 * float(tail))


def _of(count: int, windows: int) -> str:
    return f"{count} of {windows} windows"
