"""`pyvda.diagnose` of a Dataset and of its file."""

import pytest

import pyvda
from pyvda.errors import InputError
from pyvda.judgements.report import report_on


def test_the_report_of_an_analysis_and_its_file(tmp_path) -> None:
    truth = pyvda.simulate("lorenz63", 8, 3, steps=60)
    observed = pyvda.observe(truth, "lorenz63", 4, every=2, variance=0.2)
    observed.attrs["observation_error_variance"] = 2.0
    analysis = pyvda.assimilate(
        observed, model="lorenz63", method="gauss-newton", form="statistical", engine="torch"
    )
    report = pyvda.diagnose(analysis)
    assert report == report_on(analysis)
    assert report.windows == 8
    assert report.fit.high < 1
    assert "overstated" in str(report)
    pyvda.save_analysis(analysis, tmp_path / "a.nc")
    assert pyvda.diagnose(tmp_path / "a.nc") == report
    assert analysis.vda.diagnose() == report
    for other in (truth, analysis.drop_vars("innovation")):
        with pytest.raises(InputError, match="assimilate the observations again"):
            pyvda.diagnose(other)
