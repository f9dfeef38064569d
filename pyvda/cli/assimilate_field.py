"""`pyvda assimilate` by a method without a model: of a field, or of data at points."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.cli.options import base_name, say
from pyvda.errors import InputError
from pyvda.progress import shown

if TYPE_CHECKING:
    from pyvda.fields.methods import FieldMethod


def analyse_field(
    method: FieldMethod,
    observations: list[str],
    output: Path,
    keywords: dict[str, Any],
    parameter: list[str] | None,
    workers: int | None,
    scheduler: str | None,
    truth: str | None,
    quiet: bool,
) -> None:
    """Run a method without a model and count its analysis by flag."""
    from pyvda.assimilate import assimilate as run
    from pyvda.cluster import started
    from pyvda.io import netcdf
    from pyvda.io.sources import locations
    from pyvda.io.writing.identity import identity
    from pyvda.names import FieldFlag

    given: dict[str, Any] = {"--parameter": parameter, "--truth": truth}
    whole = method.plan is None or "grid" in keywords
    if whole:
        given |= {"--workers": workers, "--scheduler": scheduler}
    idle = ", ".join(name for name, value in given.items() if value)
    if idle:
        raise InputError(
            f"{idle} would have no effect: {method.name} estimates "
            f"{'data at points' if 'grid' in keywords else 'a field'} without a model"
            f"{', in one process' if whole else ''}; leave it out"
        )
    source = observations[0] if len(observations) == 1 else observations
    with started(workers, scheduler), shown("assimilate", quiet) as report:
        analysis = run(source, report=report, **keywords)
        analysis.attrs.setdefault(
            "source", f"observations from {', '.join(map(base_name, observations))}"
        )
        of_run = identity(analysis, {"observations": observations, **keywords})
        netcdf.save_analysis(analysis, output, report=report, run=of_run)
    say(quiet, f"{output}: on {analysis.attrs['pyvda_engine']}")
    with locations.opened(output) as written:
        for name in (str(n) for n in analysis.data_vars if str(n).endswith("_flag")):
            found: Counter[int] = Counter()
            for step in range(written[name].shape[0]):
                found.update(dict(zip(*np.unique(written[name][step], return_counts=True),
                                      strict=True)))  # fmt: skip
            counts = {f.name.lower().replace("_", " "): int(found[f]) for f in FieldFlag}
            say(quiet, f"{name.removesuffix('_flag')}: "
                + ", ".join(f"{n} {what}" for what, n in counts.items() if n))  # fmt: skip
