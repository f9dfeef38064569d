"""`pyvda.diagnose`: the judgements that an analysis carries."""

from __future__ import annotations

from typing import Any

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.sources.open import opened
from pyvda.io.writing.model_attributes import expect_model
from pyvda.judgements.report import Report, report_on


def diagnose(analysis: Any) -> Report:
    """Return which windows of an analysis are in doubt and why, and what is wrong with the file.

    Parameters
    ----------
    analysis : Dataset or path
        As `pyvda.assimilate` makes it.

    Returns
    -------
    Report
        Counts and estimates as attributes; as text, sentences on what they suggest.

    Raises
    ------
    InputError
        It is not an analysis of this version, or one of a field without a model.

    Examples
    --------
    >>> import pyvda
    >>> observed = pyvda.observe(pyvda.simulate("lorenz63", 2, 1), "lorenz63", 2)
    >>> report = diagnose(pyvda.assimilate(observed, method="strong-constraint"))
    >>> report.windows, report.rejected
    (2, 0)
    """
    given = opened(analysis)
    expect_model(given, "diagnose looks at the windows of a model")
    if not {names.STATUS, names.DOUBTS, names.FIT} <= set(given.variables):
        raise InputError(
            f"the file has no variable {names.DOUBTS!r}, expected an analysis made by `pyvda "
            "assimilate` of this version; assimilate the observations again"
        )
    return report_on(given)
