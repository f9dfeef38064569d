"""The benchmark of learned solvers compares the results that it times, and needs no GPU."""

import json
import shutil
import subprocess
from pathlib import Path

import learned
import numpy as np
import own_models
import peers
import pytest
import qg
import reference_values
import setups
import torch
import trust_parts
import xarray as xr

import pyvda
from pyvda.priors import TwoScaleGENN
from pyvda.solvers import ConvSolver


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_benchmarks_of_the_ocean_have_a_target() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "bench-ocean"], cwd=Path(__file__).parents[1],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    run = [line.split()[-1] for line in done.stdout.splitlines() if "benchmarks/" in line]
    assert run == ["benchmarks/qg.py", "benchmarks/letkf.py"]


def small():
    return TwoScaleGENN(3, width=3, features=6, latent=4), ConvSolver(3), (4, 16, 3)


def test_losses_and_gradients_are_compared_with_the_published_way(monkeypatch):
    monkeypatch.setenv("PYVDA_KERNELS", "torch")  # measure changes it
    found = learned.measure(small, 5, 0.0, ("published", "torch"), "cpu")
    learned.refuse_differences("small", found)
    step = ConvSolver.step

    def scaled_in_inference(self, x, carry, gradient):
        after, carry = step(self, x, carry, gradient)
        return (after if torch.is_grad_enabled() else 1.001 * after), carry

    monkeypatch.setattr(ConvSolver, "step", scaled_in_inference)
    found = learned.measure(small, 5, 0.0, ("published", "torch"), "cpu")
    with pytest.raises(SystemExit, match=r"small: .* not compute the same inference loss"):
        learned.refuse_differences("small", found)

    def without_its_gradient(self, x, carry, gradient):
        after, carry = step(self, x, carry, gradient)
        return after.detach() + 0.5 * (after - after.detach()), carry

    monkeypatch.setattr(ConvSolver, "step", without_its_gradient)
    found = learned.measure(small, 5, 0.0, ("published", "torch"), "cpu")
    with pytest.raises(SystemExit, match="not compute the same gradient"):
        learned.refuse_differences("small", found)


def test_nan_is_a_difference():
    value = learned.difference({"published": 1.0, "torch": float("nan")})
    with pytest.raises(SystemExit, match="the same loss, they differ by nan"):
        learned.refuse_differences("small", {"loss_difference": value})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_one_sentence_is_said(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["learned.py", "--device", "cuda"])
    learned.main()
    assert capsys.readouterr().out == "no CUDA device: skipped\n"


@pytest.mark.julia
@pytest.mark.parametrize("case", own_models.CASES, ids=lambda case: case[0])
def test_models_in_users_files_are_the_built_in_ones(case):
    """They descend to the same states; each float type gives a row with both times."""
    rows = own_models.compare(case[0], 9, 20, 5, repeats=1)
    assert [row["case"].rsplit(" ", 1)[1] for row in rows] == ["float64", "float32"]
    for row, tolerance in zip(rows, (1e-11, 1e-3), strict=True):
        assert row["difference"] < tolerance
        assert row["ratio"] == row["own_us"] / row["built_in_us"] > 0


def test_models_in_users_files_were_as_fast_as_the_built_in_ones():
    rows = json.loads((own_models.store.RESULTS / "own_models.json").read_text("utf-8"))["rows"]
    assert {row["case"].rsplit(",")[0] for row in rows} == {
        f"FSGD {name} in a user's file" for name, *_ in own_models.CASES
    }
    assert max(row["ratio"] for row in rows) <= 1.1


def test_a_row_of_the_comparison_keeps_its_machine():
    rows = json.loads((own_models.store.RESULTS / "peers.json").read_text("utf-8"))["rows"]
    old, new = {"case": "a", "machine": {"date": "x"}}, {"case": "b", "machine": {"date": "y"}}
    assert peers.replaced([old, {"case": "b", "machine": {"date": "x"}}], [new]) == [old, new]
    for row in rows:
        assert {"processor", "cores", "engine", "date"} <= set(row["machine"])
        assert row["load_before"] >= 0


@pytest.mark.julia
def test_the_ocean_is_analysed_as_on_its_own_grid(monkeypatch, tmp_path):
    """Two windows of ten times at 65 x 65 points: the quick version of benchmarks/qg.py."""
    monkeypatch.setattr(qg, "FOLDER", tmp_path)
    run = qg.drawn(1, n=65, times=20)
    found, analysis = qg.cycled("quick", run, 10, times=20, covariance=qg.flat_covariance(65, 2.0))
    free = np.sqrt(((analysis["psi_background"].fillna(0.0) - run[0][1:]) ** 2).mean(("y", "x")))
    assert found["mean"] < 0.6 * float(free[:10].mean())
    assert 0.85 < found["chi_square"] < 1.15
    assert len(list((tmp_path / "quick").iterdir())) == 2


@pytest.mark.julia
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # one time has no interval
def test_a_filter_has_no_data_after_its_last_step():
    """The scores are those of the last step, whatever comes later in the series."""
    truth = pyvda.simulate("lorenz63", 1, 5, steps=161)
    observed = pyvda.observe(truth, "lorenz63", 6)["observation"]
    ds = xr.Dataset({"truth": truth["truth"], "observation": observed}).isel(window=0)
    ds = ds.assign_attrs(burn_in=0.5, observation_error_variance=2.0)
    times = setups.analysis_times(ds)
    np.testing.assert_array_equal(times, np.arange(56, 161, 8))
    setup = setups.Setup("lorenz63", 81, 1, 161, 161)
    found = setups.as_filter(ds, setup)
    assert found["times"] == (times >= 80).sum()
    assert found["rmse"] > setups.as_smoother(ds, setup)["rmse"]
    early = ds.isel(time=slice(0, 97))
    later = ds.assign(observation=ds["observation"].where(ds["time"] <= ds["time"][96], 99.0))
    one, other = (
        setups.as_filter(each, setup._replace(stride=99))["rmse"] for each in (early, later)
    )
    assert one == other


@pytest.mark.julia
@pytest.mark.parametrize(
    "case", reference_values.CASES, ids=lambda case: f"{case.source}: {case.name}"
)
def test_values_of_other_packages_are_reproduced(case):
    """The published values of OOPS, ADAO and DataAssim.jl, from data made anew."""
    for row in reference_values.rows(case):
        assert row["difference"] < case.tolerance, row


def test_each_row_of_trust_keeps_its_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(trust_parts, "OUT", tmp_path / "trust_parts.json")
    for key, date in (("a", "2026-01-01"), ("b", "2026-01-02")):
        machine = {"vector_instructions": "AVX2", "date": date}
        monkeypatch.setattr(trust_parts.store, "machine", lambda found=machine: found)
        rows = trust_parts._with(key, {"ratio": 1.0})
    assert rows == trust_parts._kept()
    machines = json.loads(trust_parts.OUT.read_text())["machines"]
    assert [machines[rows[key]["machine"]]["date"] for key in "ab"] == ["2026-01-01", "2026-01-02"]
