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
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import betainc, chdtrc

from pyvda import names
from pyvda.engine.interface import Array
from pyvda.judgements.innovation_statistics import (
    FEW,
    Innovations,
    Statistic,
    mean_with_interval,
    of_components,
    of_innovations,
)
from pyvda.judgements.sampled_file import SampledFile, sampled
from pyvda.names import Doubt, Status

ATTRIBUTE = "pyvda_report"
"""Attribute of an analysis: its report in words."""

# A finding must be certain, with this probability of an error, and large.
_CHANCE = 2e-4
# The mean fit differs from 1 by more; that of a method of members, whose spread is estimated from
# them and whose updates are linear, is accurate to less.
_FIT, _FIT_OF_MEMBERS = 0.06, 0.12
_BIAS = 0.12  # root mean squares of the innovations
_CORRELATION = 0.08
_OUTLIERS = 0.015  # share of innovations beyond three standard deviations
_SCATTER = 0.01  # probability of windows that differ as much by chance
_SCATTER_OF_MEMBERS = 1.25  # times the variance of other methods' fits
_DOUBTFUL = 0.05  # share of windows
# Few data for the size of the state say more of the prior than of the errors: at least so many for
# each component, or so many whatever the size.
_LOOSE, _ENOUGH = 3, 30
_SINGLE = Doubt.MISFIT_LARGE | Doubt.OTHER_STATES | Doubt.EQUAL_VALUES | Doubt.FEW_SAMPLES


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
    own = _own_share(sample)
    misfit = int((judged & (doubts & int(Doubt.MISFIT_LARGE) > 0)).sum())
    findings = _of_misfits(misfit, int(judged.sum()), own)
    kinds = _kinds(sample)
    number = np.zeros(1) if sample.chosen is None else np.sum([k.number() for k in kinds], axis=0)
    known = judged & np.isfinite(ratio)
    usual = known if known.any() else judged
    single = usual & (doubts & int(_SINGLE) > 0)
    if 2 * single.sum() <= usual.sum():
        usual = usual & ~single
    if sample.chosen is not None:  # None where windows of a series were merged
        size = np.asarray(sample.innovation).shape[2]
        enough = (number >= FEW) & (number > min(_LOOSE * size, _ENOUGH))
        usual, known = usual[sample.chosen] & enough, known[sample.chosen] & enough
        ratio = ratio[sample.chosen]
        kinds = [kind.of_windows(usual) for kind in kinds]
    if not usual.any() or not (known.any() or sample.own_fit):
        return Report(**counts, findings=tuple(findings))
    fit, scattered = None, False  # without a fit the spread of innovations is unknown
    if known.any():
        data = max(_data(sample, kinds, own), 1.0)
        fit = mean_with_interval(ratio[usual], 1.0, np.sqrt(2.0 / data), own)
        findings = [*_of_fit(fit, _FIT_OF_MEMBERS if sample.of_members else _FIT), *findings]
        each = data if sample.chosen is None else number[known]
        each = each / _SCATTER_OF_MEMBERS if sample.of_members else each
        scattered = bool(findings) or _scattered(ratio[known], each, own)
    bias, correlation, outliers, chance = of_innovations(*kinds)
    if sample.own_fit:
        far = _of_outliers(outliers, chance) if scattered else []
        findings = [*_of_bias(bias), *far, *_of_correlation(correlation), *findings]
    return Report(
        **counts, fit=fit, bias=bias, correlation=correlation, outliers=outliers,
        findings=tuple(findings),
    )  # fmt: skip


def _kinds(sample: SampledFile) -> list[Innovations]:
    """Return the innovations of components, of data at arbitrary times and of channels."""
    stdev = None if sample.stdev is None else np.asarray(sample.stdev, float)
    found = [of_components(np.asarray(sample.innovation, float), stdev, sample.fields)]
    if sample.points is not None:
        values = np.asarray(sample.points, float)[:, :, None]
        label = [("the data at points", np.zeros(1, int))]
        found.append(Innovations(values, label, of_components=False, at_points=True))
    if sample.channels is not None:
        channels = np.asarray(sample.channels, float)
        labels = [(f"channel {k}", np.array([k])) for k in range(channels.shape[2])]
        found.append(Innovations(channels, labels, of_components=False))
    return found


def _data(sample: SampledFile, kinds: list[Innovations], own: float) -> float:
    """Return the mean number of data of an independent window."""
    if sample.chosen is not None:
        return float(sum(kind.number().mean() for kind in kinds))
    windows = own * len(np.asarray(sample.status))
    at_steps = sum(kind.number().sum() for kind in kinds if not kind.at_points)
    at_points = sum(kind.number().mean() for kind in kinds if kind.at_points)
    return float(at_steps / sample.share / windows + at_points)


def _scattered(fit: Array, data: Any, own: float) -> bool:
    """Return whether windows with so many data differ in their fit by more than by chance.

    Gross errors cause that. Right errors that differ from datum to datum do not, although some of
    their innovations are larger than those of most others.
    """
    if own * len(fit) < FEW:
        return True
    freedom = own * (len(fit) - 1)
    square = own * float((data / 2 * np.square(fit / fit.mean() - 1)).sum())
    return bool(chdtrc(freedom, square) < _SCATTER)


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
        "expected): some observations have gross errors; see robust"
    ]


def _of_misfits(doubtful: int, windows: int, own: float) -> list[str]:
    # The chance of as many or more, binomial, of `own` times as many independent windows.
    if not doubtful or betainc(own * doubtful, own * (windows - doubtful) + 1, _DOUBTFUL) > _CHANCE:
        return []
    return [
        f"the data of {_of(doubtful, windows)} cannot be fitted: those that can be are not to be "
        "trusted either"
    ]


def _of(count: int, windows: int) -> str:
    return f"{count} of {windows} windows"
