"""Classical methods that start from the analysis of a shipped learned model."""

import numpy as np
import pytest

import pyvda
from pyvda.cli.main import main
from pyvda.errors import InputError

SHIPPED = "lorenz63-blanked-shooting"


@pytest.fixture(scope="module")
def twin():
    truth = pyvda.simulate("lorenz63-blanked", 12, 71)
    return truth, pyvda.observe(truth, "lorenz63-blanked", 72)


def test_a_descent_of_no_iterations_is_the_learned_analysis(twin) -> None:
    _, observed = twin
    learned = pyvda.assimilate(observed, checkpoint=SHIPPED)
    found = pyvda.assimilate(observed, warm_start=SHIPPED, iterations=0)
    np.testing.assert_array_equal(found["analysis"], learned["analysis"])
    assert found.attrs["pyvda_warm_start"] == SHIPPED
    digest = learned.attrs["pyvda_checkpoint_sha256"]
    assert found.attrs["pyvda_checkpoint_sha256"] == digest


def test_blocks_of_windows_start_warm_too(twin) -> None:
    _, observed = twin
    whole = pyvda.assimilate(observed, warm_start=SHIPPED, iterations=3)
    blocks = pyvda.assimilate(observed.chunk(window=5), warm_start=SHIPPED, iterations=3)
    np.testing.assert_allclose(blocks["analysis"], whole["analysis"], rtol=1e-4, atol=1e-3)


@pytest.mark.julia
@pytest.mark.parametrize(
    "options",
    [
        {"method": "strong-constraint"},
        {"method": "gauss-newton", "form": "statistical", "every": 8},
        {"method": "annealed", "restarts": 0, "hops": 0},
    ],
)
def test_a_warm_start_costs_no_accuracy(twin, options) -> None:
    truth, observed = twin
    learned = pyvda.evaluate(pyvda.assimilate(observed, checkpoint=SHIPPED), truth)["r_score"]
    warm = pyvda.assimilate(observed, warm_start=SHIPPED, engine="julia", **options)
    found = pyvda.evaluate(warm, truth)["r_score"]
    assert np.median(found) < 1.3 * np.median(learned)
    assert (warm["objective"] < 60).mean() > 0.9  # 22 data: 11 expected


def test_a_method_without_a_start_refuses(twin) -> None:
    with pytest.raises(
        InputError, match=r"posterior-mean does not start from a state; .* fsgd, gau"
    ):
        pyvda.assimilate(twin[1], method="posterior-mean", warm_start=SHIPPED)


def test_the_model_has_to_be_the_same(twin, tmp_path, monkeypatch, capsys) -> None:
    with pytest.raises(InputError, match=r"was trained for lorenz63 .* not for lorenz96"):
        pyvda.assimilate(twin[1], model="lorenz96", warm_start=SHIPPED)
    pyvda.save_analysis(twin[1], tmp_path / "obs.nc")
    arguments = ["assimilate", "obs.nc", "--warm-start", "nowhere", "-o", "out.nc"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["pyvda", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "there is no learned model 'nowhere'" in capsys.readouterr().err
    assert not (tmp_path / "out.nc").exists()
