"""Which observations a learned model was trained for, and whether a file has others.

A learned solver knows the gaps that it was trained on; on others it answers just as readily, only
worse. So the difference is said, in one sentence, and the assimilation goes on.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from pyvda.description import Pattern

# A datum missing here and there is no other pattern.
TOLERATED = 0.05


class PatternWarning(UserWarning):
    """Observations that are not those that the learned model was trained for."""


def warn(found: list[str], stacklevel: int = 1) -> str:
    """Warn of what `differences` found, in one sentence, and return it as one text, empty if none.

    Parameters
    ----------
    found : list of str
    stacklevel : int
        Whose line the warning points at: 1 is the caller's.
    """
    text = "; ".join(found)
    if found:
        warnings.warn(
            f"the observations are not those that the checkpoint was trained for ({text}), so the "
            "analysis may be worse than its scores say",
            PatternWarning,
            stacklevel=stacklevel + 1,
        )
    return text


def differences(observed: np.ndarray, variance: float | None, pattern: Pattern) -> list[str]:
    """Return in words how observations differ from the trained ones.

    Parameters
    ----------
    observed : (W, T, D) of bool
        Where there is a datum.
    variance : float, optional
        Of the observation errors, in the state's units squared; None: not known, not compared.
    pattern : Pattern
        What was trained.

    Returns
    -------
    list of str
        Window length, observation times, components, error variance: those that differ. A few
        percent of missing or further data are no difference.
    """
    observed = np.asarray(observed, dtype=bool)
    found = []
    steps = observed.shape[1]
    if steps != pattern.steps:
        found.append(f"windows of {steps} steps, trained on {pattern.steps}")
    observed = observed[observed.any((1, 2))]  # empty windows have a status of their own
    if len(observed):
        named = [*_times(observed, pattern), *_components(observed, pattern)]
        if not named and (share := _missing(observed, pattern)) > TOLERATED:
            named = [f"{100 * share:.0f} % of the trained data missing"]
        found += named
    if variance is not None and abs(variance - pattern.variance) > TOLERATED * pattern.variance:
        found.append(f"error variance {variance:.4g}, trained on {pattern.variance:.4g}")
    return found


def trained_times(pattern: Pattern, steps: int) -> np.ndarray:
    """Return the steps that the trained pattern observes in a window of so many steps."""
    last = steps - 1 if pattern.last < 0 else min(pattern.last, steps - 1)
    return np.arange(pattern.first, last + 1, pattern.every)


def _times(observed: np.ndarray, pattern: Pattern) -> list[str]:
    """Compare spacing, first and last observed step with the trained ones."""
    at: np.ndarray = np.asarray(observed.any(2))
    trained = trained_times(pattern, at.shape[1])
    expected = np.zeros(at.shape[1], bool)
    expected[trained] = True
    budget = TOLERATED * max(len(trained), 1) * len(at)
    if (at & ~expected).sum() <= budget and (~at & expected).sum() <= budget:
        return []
    gaps = np.concatenate([np.diff(np.flatnonzero(row)) for row in at])
    if not len(gaps):
        return ["one observation time in each window"]
    values, counts = np.unique(gaps, return_counts=True)
    every = int(values[counts.argmax()])
    # Missing data leave multiples of the spacing, and few of those are large.
    regular = np.mean(gaps % every == 0) > 1 - 2 * TOLERATED and gaps.mean() < 3 * every
    if not regular:
        return [f"observed at irregular times, trained on every {_steps(pattern.every)}"]
    if every != pattern.every:
        return [f"observed every {_steps(every)}, trained on every {_steps(pattern.every)}"]
    found = []
    first = int(np.median(at.argmax(1)))
    last = int(np.median(at.shape[1] - 1 - at[:, ::-1].argmax(1)))
    # One missing datum at an end moves the end by one interval; that is no other pattern.
    for name, is_at, was_at in (("first", first, trained[:1]), ("last", last, trained[-1:])):
        if len(was_at) and abs(is_at - int(was_at[0])) > (every if len(at) < 3 else 0):
            found.append(f"{name} observed at step {is_at}, trained on {was_at[0]}")
    return found


def _components(observed: np.ndarray, pattern: Pattern) -> list[str]:
    """Compare which components are observed, at the times when something is."""
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
    if abs(number - wanted) > TOLERATED * wanted:
        return [f"{number:.3g} components observed at a time, trained on {wanted}"]
    # Of n draws with probability p a component gets n p, give or take; far outside, none are drawn.
    spread = np.sqrt(max(wanted / size * (1 - wanted / size), 0.0) / len(data))
    if np.abs(share - wanted / size).max() > 6 * spread + TOLERATED:
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
