"""Which observations a learned model is trained for, and whether a file has others.

A learned solver knows the gaps that it was trained on; on others it answers just as readily, only
worse. The difference is therefore stated in one sentence, and the assimilation goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pyvda.learned.description import Pattern
from pyvda.models.model import Model
from pyvda.models.without_code import has_code
from pyvda.notices import Notice, notice

# Share of missing or additional data that does not make a different pattern.
TOLERATED = 0.05
# Standard deviations by which the number of runs may differ from its mean for independent gaps.
_SIGMAS = 4.0
_UNLIKELY = 1e-4  # probability of a gap in a window like those of the training
# Files of one kind with irregular times have shares of observed steps that differ by chance.
_TOLERATED_COVERAGE = 0.2


class PatternWarning(Notice):
    """Observations differ from those that the learned model was trained for."""


def warn(found: list[str]) -> str:
    """Warn of the differences in one sentence, and return them as one string, empty if none.

    Parameters
    ----------
    found : list of str
    """
    text = "; ".join(found)
    if found:
        notice(
            f"the observations are not those that the checkpoint was trained for ({text}), so the "
            "analysis may be worse than its scores say",
            PatternWarning,
        )
    return text


def warn_of_source(model: Model, pattern: Pattern) -> None:
    """Warn where the source of a user's own model is another than in the training.

    Parameters
    ----------
    model : Model
        The model that was named, perhaps without code.
    pattern : Pattern
    """
    trained = None if pattern.own is None else pattern.own.source
    if trained and has_code(model) and model.source_digest not in (None, trained):
        notice(
            f"the source of the model {model.name} is not the one that the checkpoint was trained "
            "with, so the analysis may be worse than its scores say",
            PatternWarning,
        )


def differences(observed: np.ndarray, variance: float | None, pattern: Pattern) -> list[str]:
    """Return descriptions of how observations differ from the trained ones.

    Parameters
    ----------
    observed : (W, T, D) of bool
        Where there is a datum.
    variance : float, optional
        Variance of the observation errors, in the state's units squared; None if unknown.
    pattern : Pattern
        The pattern that was trained.

    Returns
    -------
    list of str
        One item for each of window length, observation times, components and error variance that
        differs. A few percent of missing or additional data do not count.
    """
    observed = np.asarray(observed, dtype=bool)
    found = []
    steps = observed.shape[1]
    if steps != pattern.steps:
        found.append(f"windows of {steps} steps, trained on {pattern.steps}")
    observed = observed[observed.any((1, 2))]  # empty windows have a status of their own
    if pattern.coverage is not None:
        found += _coverage(observed, pattern.coverage)
    elif len(observed):
        named = [*_times(observed, pattern), *_components(observed, pattern)]
        if not named and (share := _missing(observed, pattern)) > _most(pattern, observed):
            most = f", trained on up to {100 * pattern.missing:.0f} %" if pattern.missing else ""
            named = [f"{100 * share:.0f} % of the trained data missing{most}"]
        elif not named and pattern.missing:
            named = _runs(observed, pattern)
        found += named
    trained = pattern.variance
    if variance is None or trained is None:
        return found
    if abs(variance - trained) > TOLERATED * trained:
        found.append(f"error variance {variance:.4g}, trained on {trained:.4g}")
    return found


def unlike_trained(observed: np.ndarray, variance: float | None, pattern: Pattern) -> np.ndarray:
    """Return which windows have another observation pattern than the training's, (W,) bool.

    Parameters
    ----------
    observed : (W, T, D) of bool
        Where there is a datum.
    variance : float, optional
        Variance of the observation errors; None if unknown.
    pattern : Pattern
        The pattern that was trained. A window may lack as many data more as chance allows, and one.
    """
    windows, steps, size = observed.shape
    trained = pattern.variance
    if steps != pattern.steps or (
        variance is not None
        and trained is not None
        and abs(variance - trained) > TOLERATED * trained
    ):
        return np.ones(windows, bool)
    if pattern.coverage is not None:
        was = np.array(pattern.coverage)
        if was.shape != (size,):
            return np.zeros(windows, bool)
        chance = _SIGMAS * np.sqrt(was * (1 - was) / steps)
        far = np.abs(observed.mean(1) - was) > _TOLERATED_COVERAGE * was + chance + 1 / steps
        return np.asarray(far.any(1))
    times = trained_times(pattern, steps)
    number = pattern.random_components or (
        size if pattern.components is None else len(pattern.components)
    )
    expected = np.zeros((steps, size), bool)
    chosen = pattern.components if number and pattern.components is not None else range(size)
    expected[np.ix_(times, np.array([c for c in chosen if c < size], int))] = True
    count, m = len(times) * number, pattern.missing
    there = (observed & expected).sum((1, 2))
    few = (1 - m - TOLERATED) * count - _SIGMAS * np.sqrt(m * (1 - m) * count) - 1
    other = (observed & ~expected).sum((1, 2)) > TOLERATED * count
    at = np.asarray(observed[:, times].any(2))
    long = _in_a_row(at) < _UNLIKELY if m else _longest_gap(at) > 1
    return np.asarray((there < few) | other | (there > (1 + TOLERATED) * count) | long)


def _in_a_row(at: np.ndarray) -> np.ndarray:
    """Return a bound on the probability of the longest gap of each row (W, n), (W,).

    If M of n times are missing, in any order, k given ones are all missing with probability
    M (M - 1) ... (M - k + 1) / (n (n - 1) ... (n - k + 1)), and there are n - k + 1 places.
    """
    n, missing = at.shape[1], at.shape[1] - at.sum(1)
    gap = _longest_gap(at)
    chance = (n - gap + 1).astype(float)
    for i in range(int(gap.max(initial=0))):
        chance *= np.where(i < gap, (missing - i) / (n - i), 1.0)
    return chance


def _longest_gap(at: np.ndarray) -> np.ndarray:
    """Return the largest number of consecutive False in each row (W, n), (W,)."""
    length = np.zeros(len(at), int)
    longest = length.copy()
    for column in at.T:
        length = np.where(column, 0, length + 1)
        np.maximum(longest, length, out=longest)
    return longest


def rule(observed: np.ndarray) -> dict[str, Any]:
    """Return the fields of a `Pattern` that describe when and what a file observes.

    Parameters
    ----------
    observed : (W, T, D) of bool
        Where there is a datum.

    Returns
    -------
    dict
        `every`, `first`, `last` and `components` or `random_components` as in a preset, if the file
        follows such a rule; otherwise also `coverage`.
    """
    observed = np.asarray(observed, dtype=bool)
    _, steps, size = observed.shape
    there = observed[observed.any((1, 2))]
    if not len(there):
        return _described(components=tuple(range(size)), coverage=())
    at: np.ndarray = np.asarray(there.any(2))
    times = np.flatnonzero(at.mean(0) >= 0.5)  # those of the usual window
    gaps = np.diff(np.nonzero(at)[1])
    gaps = gaps[gaps > 0]  # within a window
    every = int(np.median(gaps)) if len(gaps) else steps
    coverage = tuple(round(float(share), 4) for share in there.mean((0, 1)))
    if len(times):
        first, last = int(times[0]), int(times[-1])
        last = -1 if last + every >= steps else last
        data = there[at]  # (times of all windows, D)
        fixed = tuple(int(c) for c in np.flatnonzero(data.mean(0) > 0.5))
        drawn = round(float(data.sum(1).mean()))
        for components, number in ((fixed, 0), (None, drawn)):
            found = _described(every, first, last, components, number)
            if _follows(there, found):
                return found
    return _described(every, coverage=coverage)


def _described(
    every: int = 1,
    first: int = 0,
    last: int = -1,
    components: tuple[int, ...] | None = None,
    random_components: int = 0,
    coverage: tuple[float, ...] | None = None,
) -> dict[str, Any]:
    return {
        "every": every, "first": first, "last": last, "components": components,
        "random_components": random_components, "coverage": coverage,
    }  # fmt: skip


def _follows(observed: np.ndarray, fields: dict[str, Any]) -> bool:
    """Return whether windows are observed as these fields of a pattern say."""
    size = observed.shape[2]
    pattern = Pattern(
        name="", model="", parameters=(), state_size=size, time_step=1.0,
        steps=observed.shape[1], variance=None, **fields,
    )  # fmt: skip
    return _at_times(np.asarray(observed.any(2)), pattern) and not differences(
        observed, None, pattern
    )


def _coverage(observed: np.ndarray, trained: tuple[float, ...]) -> list[str]:
    """Compare the share of steps at which each component is observed with the trained one."""
    found = observed.mean((0, 1)) if len(observed) else np.zeros(observed.shape[2])
    return [
        f"component {component} observed at {100 * share:.3g} % of the steps, trained on "
        f"{100 * was:.3g} %"
        for component, (share, was) in enumerate(zip(found, trained, strict=False))
        if abs(share - was) > _TOLERATED_COVERAGE * max(was, TOLERATED)
    ][:1]


def trained_times(pattern: Pattern, steps: int) -> np.ndarray:
    """Return the steps that the trained pattern observes in a window of `steps` steps."""
    last = steps - 1 if pattern.last < 0 else min(pattern.last, steps - 1)
    return np.arange(pattern.first, last + 1, pattern.every)


def _times(observed: np.ndarray, pattern: Pattern) -> list[str]:
    """Compare spacing, first and last observed step with the trained ones."""
    at: np.ndarray = np.asarray(observed.any(2))
    if _at_times(at, pattern):
        return []
    trained = trained_times(pattern, at.shape[1])
    gaps = np.concatenate([np.diff(np.flatnonzero(row)) for row in at])
    if not len(gaps):
        return ["one observation time in each window"]
    values, counts = np.unique(gaps, return_counts=True)
    every = int(values[counts.argmax()])
    # Missing data leave gaps that are multiples of the spacing, few of them large; if many data are
    # missing, compare with the trained spacing.
    off_grid = np.delete(at, trained, axis=1).sum()
    if off_grid <= TOLERATED * at.sum() and counts.max() < 0.7 * len(gaps):
        every = pattern.every
    elif np.mean(gaps % every == 0) <= 1 - 2 * TOLERATED or gaps.mean() >= 3 * every:
        return [f"observed at irregular times, trained on every {_steps(pattern.every)}"]
    if every != pattern.every:
        return [f"observed every {_steps(every)}, trained on every {_steps(pattern.every)}"]
    found = []
    share = at.mean(0)
    usual = np.median(share[share > 0])
    ends = np.flatnonzero(share >= usual / 2)
    # One missing datum at an end moves that end by one interval, which is not a difference.
    spare = every if usual * len(at) < 3 else 0
    for name, is_at, was_at in (("first", ends[0], trained[:1]), ("last", ends[-1], trained[-1:])):
        if len(was_at) and abs(int(is_at) - int(was_at[0])) > spare:
            found.append(f"{name} observed at step {is_at}, trained on {was_at[0]}")
    return found


def _at_times(at: np.ndarray, pattern: Pattern) -> bool:
    """Return whether the observed steps `at` (W, T) are the trained ones, within the tolerance."""
    trained = trained_times(pattern, at.shape[1])
    expected = np.zeros(at.shape[1], bool)
    expected[trained] = True
    number = max(len(trained), 1) * len(at)
    fewer = _most(pattern, at) * number
    return bool((at & ~expected).sum() <= TOLERATED * number and (~at & expected).sum() <= fewer)


def _most(pattern: Pattern, observed: np.ndarray) -> float:
    """Return the largest share of data that may be missing, with a margin for few windows."""
    number = max(len(trained_times(pattern, observed.shape[1])), 1) * len(observed)
    m = pattern.missing
    return float(m + TOLERATED + 2.0 * np.sqrt(m * (1.0 - m) / number))


def _runs(observed: np.ndarray, pattern: Pattern) -> list[str]:
    """Return whether gaps are independent, as in training, by the runs test of Wald and Wolfowitz.

    If k of n times are observed, the number of runs of observed and missing ones has mean
    1 + μ and variance μ (μ − 1) / (n − 1) with μ = 2 k (n − k) / n, if they come in any order.
    """
    at: np.ndarray = np.asarray(observed[:, trained_times(pattern, observed.shape[1])].any(2))
    n, k = at.shape[1], at.sum(1)
    mean = 2.0 * k * (n - k) / n
    variance = float((mean * (mean - 1.0)).clip(min=0.0).sum() / max(n - 1, 1))
    changes = float((at[:, 1:] != at[:, :-1]).sum() - mean.sum())
    if variance == 0.0 or abs(changes) < _SIGMAS * np.sqrt(variance):
        return []
    how = "in a row" if changes < 0 else "at regular intervals"
    return [f"data missing {how}, trained on data missing here and there"]


def _components(observed: np.ndarray, pattern: Pattern) -> list[str]:
    """Compare which components are observed at the observed times."""
    data = observed[observed.any(2)]  # (times of all windows, D)
    share = data.mean(0)
    size = data.shape[1]
    if pattern.components is not None:
        expected = np.zeros(size, bool)
        expected[[c for c in pattern.components if c < size]] = True
        seen = share > TOLERATED
        if np.array_equal(seen, expected):
            return []
        are, were = _listed(np.flatnonzero(seen)), _listed(pattern.components)
        return [f"components {are} observed, trained on {were}"]
    number = data.sum(1).mean()
    wanted = pattern.random_components
    fewest = (1 - pattern.missing - TOLERATED) * wanted
    if not fewest <= number <= (1 + TOLERATED) * wanted:
        return [f"{number:.3g} components observed at a time, trained on {wanted}"]
    # n draws with probability p give a component about n p; far from that, it was not drawn.
    p = (number if pattern.missing else wanted) / size
    spread = np.sqrt(max(p * (1 - p), 0.0) / len(data))
    if np.abs(share - p).max() > 6 * spread + TOLERATED:
        return [f"always the same components observed, trained on {wanted} drawn at each time"]
    return []


def _missing(observed: np.ndarray, pattern: Pattern) -> float:
    """Return the share of the trained data that the windows lack."""
    number = pattern.random_components if pattern.components is None else len(pattern.components)
    expected = len(trained_times(pattern, observed.shape[1])) * number * len(observed)
    return 1.0 - float(observed.sum()) / expected if expected else 0.0


def _steps(every: int) -> str:
    return "step" if every == 1 else f"{every} steps"


def _listed(components: Iterable[int]) -> str:
    found = [int(c) for c in components]
    if len(found) > 6:
        return f"{found[0]}, {found[1]}, ... {found[-1]} ({len(found)} of them)"
    return ", ".join(str(c) for c in found) or "none"
