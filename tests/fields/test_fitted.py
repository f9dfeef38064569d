import pytest
from command_line import run
from gappy import COVARIANCE, field

from pyvda.fields import covariance, fitted
from pyvda.fields.fit import Fit

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def test_the_command_writes_what_oi_reads(tmp_path, monkeypatch, capsys) -> None:
    field()[0].to_netcdf(tmp_path / "sst.nc")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYVDA_ENGINE", "torch")
    fits = []

    def quick(field, values, mean, options, engine, report):
        fits.append((options.factors, options.seed))
        return Fit(COVARIANCE, 0.1, 1.0, 0.0, 5)

    monkeypatch.setattr(fitted, "fit", quick)
    arguments = ["covariance", "sst.nc", "-o", "cov.yaml", "--factors", 2, "--seed", 4]
    assert run(monkeypatch, *arguments) == 0
    assert fits == [(2, 4)]
    read = covariance.read("cov.yaml")
    assert read.variables["sst"] == COVARIANCE
    assert read.units == {"sst": "degC"}
    assert "RMSE 0.1 at 5 values" in capsys.readouterr().out
    assert run(monkeypatch, *arguments, "--form", "dense") == 2
    assert "--form would have no effect" in capsys.readouterr().err
    assert run(monkeypatch, "covariance", "sst.nc", "-o", "B.nc", "--factors", 2) == 2
    assert "--factors would have no effect" in capsys.readouterr().err
