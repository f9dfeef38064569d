"""The sample of a large file's innovations, against the report on the whole."""

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.judgements import sampled_file
from pyvda.judgements.report import report_of, report_on
from pyvda.judgements.sampled_file import sampled


def test_a_sample_of_many_windows_says_the_same_to_within_its_error(monkeypatch):
    random = np.random.default_rng(3)
    d = 1.2 * random.standard_normal((4000, 20, 1))
    data = {names.STATUS: np.zeros(4000, np.int8), names.DOUBTS: np.zeros(4000, np.int16),
            names.FIT: (d**2).mean((1, 2))}  # fmt: skip
    ds = xr.Dataset({names.INNOVATION: (names.DIMENSIONS, d),
                     **{n: (names.WINDOW, v) for n, v in data.items()}})  # fmt: skip
    whole = report_on(ds)
    monkeypatch.setattr(sampled_file, "_MOST", 10_000)
    sample = sampled(ds)
    assert sample.innovation.shape == (500, 20, 1)
    assert sample.chosen[[0, -1]].tolist() == [0, 3999]
    part = report_of(sample)
    assert part.windows == 4000
    assert len(part.findings) == len(whole.findings) == 1
    assert part.fit.low < whole.fit.mean < part.fit.high
    series = ds.stack(steps=("window", "time")).drop_vars(["window", "time", "steps"])
    series = series.rename(steps="time").transpose("time", "state")
    sample = sampled(series.assign({n: ds[n] for n in data}))
    assert sample.innovation.size <= 10_000
    assert report_of(sample).fit.mean == whole.fit.mean
