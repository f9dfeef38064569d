"""Learned models: saved and loaded, in physical units, and as a method of assimilation."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import chi2

import pyvda
from pyvda import twin, twin_observations
from pyvda.cli.main import main
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.learned.architecture import Architecture
from pyvda.learned.description import MODEL_FILE, Pattern, read_description
from pyvda.learned.model import LearnedModel
from pyvda.learned.normalisation import normalisation
from pyvda.learned.patterns import PatternWarning
from pyvda.methods.learned import LearnedOptions
from pyvda.models.registry import get_model, get_preset
from pyvda.state.batch import Batch
from pyvda.validation_errors import validated

RNG = np.random.default_rng(3)
PRIORS = ("rk4", "euler", "bilinear-rk4", "genn", "two-scale-genn", "autoencoder")
SOLVERS = ("lstm", "conv", "gradient-descent")


def made(prior="rk4", solver="lstm", preset="lorenz63", component=False, seed=0) -> LearnedModel:
    torch.manual_seed(seed)
    sections = {"prior": {"kind": prior}, "solver": {"kind": solver}}
    pattern = Pattern.of(preset, get_preset(preset))
    size = (pattern.state_size,) if component else ()
    return LearnedModel(
        validated(Architecture, sections, "here"),
        pattern,
        2.0 + torch.rand(size, dtype=torch.float64),
        5.0 + torch.rand(size, dtype=torch.float64),
        iterations=3,
    )


def windows(count=2, steps=24, size=3) -> Batch:
    truth = RNG.normal(2.0, 5.0, (count, steps, size))
    mask = (RNG.random(truth.shape) < 0.3).astype(float)
    return Batch(mask * truth, mask, truth + RNG.normal(size=truth.shape), truth)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("preset", ["lorenz63", "lorenz96"])
def test_saved_and_loaded_gives_the_same_analysis(prior, solver, preset, tmp_path) -> None:
    model = made(prior, solver, preset, component=preset == "lorenz63")
    batch = windows(size=model.pattern.state_size).to(dtype=torch.float32)
    digest = model.save(tmp_path)
    loaded = LearnedModel.load(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(loaded(batch).x, model(batch).x, rtol=0, atol=0)
    assert digest == model.digest() == loaded.digest() == read_description(tmp_path).digest()
    assert loaded.pattern == model.pattern
    assert loaded.architecture == model.architecture
    assert loaded.iterations == 3


def test_the_digest_is_of_weights_and_architecture(tmp_path) -> None:
    model, same, other = made(), made(), made(seed=1)
    assert model.digest() == same.digest() != other.digest()
    same.iterations += 1
    assert model.digest() != same.digest()


def test_saving_again_leaves_one_model(tmp_path) -> None:
    made().save(tmp_path)
    second = made(seed=1)
    second.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert LearnedModel.load(tmp_path).digest() == second.digest()


def test_double_precision_is_kept(tmp_path) -> None:
    model = made("genn").double()
    model.save(tmp_path)
    loaded = LearnedModel.load(tmp_path)
    assert {p.dtype for p in loaded.parameters()} == {torch.float64}
    assert loaded.digest() == model.digest()


@pytest.mark.parametrize("kind", ["scalar", "component"])
def test_descent_in_normalised_units_is_descent_in_physical_ones(kind) -> None:
    """Gradient descent on U(x) by hand, against the same in z = (x − mean) / std."""
    batch = windows().to(dtype=torch.float64)
    mean, std = normalisation(batch.truth, kind)
    sections = {
        "prior": {"kind": "rk4"},
        "cost": {"lambda1": 0.3, "lambda2": 0.7, "learnable": False},
        "solver": {"kind": "gradient-descent", "step": 0.02},
    }
    architecture = validated(Architecture, sections, "here")
    pattern = Pattern.of("lorenz63", get_preset("lorenz63"))
    model = LearnedModel(architecture, pattern, mean, std, iterations=4)

    from pyvda.models.in_torch import known
    from pyvda.priors import RK4Prior

    phi = RK4Prior(known("lorenz63"), 0.01)
    x = batch.first_guess.clone()
    for _ in range(4):
        x.requires_grad_()
        n_obs = (batch.mask > 0).sum((1, 2))
        misfit = (batch.mask * ((x - batch.observation) / std) ** 2).sum((1, 2)) / n_obs
        dynamics = (((x - phi(x)) / std)[:, 1:] ** 2).mean((1, 2))
        (gradient,) = torch.autograd.grad((0.3 * misfit + 0.7 * dynamics).sum(), x)
        x = (x - 0.02 * x[0].numel() * std**2 * gradient).detach()
    torch.testing.assert_close(model(batch).x, x, rtol=1e-9, atol=1e-9)


def test_normalisation_is_centred() -> None:
    states = RNG.normal(7.0, 2.0, (5, 6, 3))
    mean, std = normalisation(states, "component")
    np.testing.assert_allclose(mean, states.reshape(-1, 3).mean(0))
    np.testing.assert_allclose(std, states.reshape(-1, 3).std(0))
    mean, std = normalisation(states, "scalar")
    np.testing.assert_allclose([mean, std], [states.mean(), states.std()])


def test_another_state_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"state of 40 components.*trained for 3"):
        made()(windows(size=40).to(dtype=torch.float32))


def damage(path: Path, how: str) -> None:
    weights = next(path.glob("weights-*.safetensors"))
    if how == "flipped":
        content = bytearray(weights.read_bytes())
        content[-5] ^= 1
        weights.write_bytes(content)
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[:-8])
    elif how == "missing":
        weights.unlink()
    elif how == "no-json":
        (path / MODEL_FILE).unlink()
    elif how == "half-json":
        text = (path / MODEL_FILE).read_text()
        (path / MODEL_FILE).write_text(text[: len(text) // 2])
    else:
        described = json.loads((path / MODEL_FILE).read_text())
        if how == "key":
            described["colour"] = "blue"
        elif how == "architecture":
            described["architecture"]["solver"] = {"kind": "conv"}
        elif how == "outside":
            described["weights"] = "../weights-000000000000.safetensors"
        elif how == "no-safetensors":
            import hashlib

            weights.write_bytes(b"not a header")
            described["sha256"] = hashlib.sha256(b"not a header").hexdigest()
        (path / MODEL_FILE).write_text(json.dumps(described))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("flipped", "damaged"),
        ("cut", "damaged"),
        ("missing", "cannot be read"),
        ("no-json", "holds no learned model"),
        ("half-json", "cannot be read"),
        ("key", "unknown key colour"),
        ("architecture", "do not belong to the architecture"),
        ("outside", "weights is"),
        ("no-safetensors", "not a safetensors file"),
    ],
)
def test_a_damaged_checkpoint_is_refused(how, says, tmp_path) -> None:
    made().save(tmp_path)
    LearnedModel.load(tmp_path)
    damage(tmp_path, how)
    with pytest.raises(InputError, match=says):
        LearnedModel.load(tmp_path)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Observations, and a checkpoint that has not been trained."""
    folder = tmp_path_factory.mktemp("learned")
    truth = twin.simulate("lorenz63", 5, 1)
    observed = twin_observations.observe(truth, "lorenz63", 2)
    pyvda.save_analysis(truth, folder / "truth.nc")
    pyvda.save_analysis(observed, folder / "obs.nc")
    made().save(folder / "checkpoint")
    return folder


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr("sys.argv", ["pyvda", *(str(a) for a in arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command_line_assimilates_with_a_checkpoint(files, tmp_path, monkeypatch) -> None:
    common = ["assimilate", files / "obs.nc", "--checkpoint", files / "checkpoint", "-q", "-o"]
    assert run(monkeypatch, *common, tmp_path / "a.nc") == 0
    assert run(monkeypatch, *common, tmp_path / "b.nc", "--block", 2) == 0
    whole, blocks = xr.load_dataset(tmp_path / "a.nc"), xr.load_dataset(tmp_path / "b.nc")
    np.testing.assert_allclose(whole["analysis"], blocks["analysis"], rtol=1e-5, atol=1e-5)
    digest = read_description(files / "checkpoint").digest()
    assert whole.attrs["pyvda_checkpoint_sha256"] == digest
    assert (whole["iterations"] == 3).all()

    observed = pyvda.open_observations(files / "obs.nc")
    model = LearnedModel.load(files / "checkpoint")
    from pyvda.climate.climatology import climatology
    from pyvda.state.windows import to_batch

    mean = climatology(get_model("lorenz63"), get_engine()).mean
    with torch.no_grad():
        expected = model(to_batch(observed, mean).to(dtype=torch.float32)).x
    np.testing.assert_allclose(whole["analysis"].values, expected.numpy(), rtol=1e-6)
    scored = ["score", tmp_path / "a.nc", "--truth", files / "truth.nc", "-q"]
    assert run(monkeypatch, *scored) == 0


def test_a_checkpoint_is_a_learned_model_and_nothing_else(
    files, tmp_path, monkeypatch, capsys
) -> None:
    common = ["assimilate", files / "obs.nc", "-q", "-o", tmp_path / "a.nc"]
    state = tmp_path / "state.npz"
    assert run(monkeypatch, *common, "--iterations", 3, "--state", state) == 0
    assert state.is_file()
    for checkpoint, message in (
        (state, "--state FILE"),
        (tmp_path / "misspelt", "there is no learned model"),
        (tmp_path / "misspelt.npz", "there is no learned model"),
    ):
        assert run(monkeypatch, *common, "--iterations", 3, "--checkpoint", checkpoint) == 2
        assert message in capsys.readouterr().err
    clash = ["--method", "fsgd", "--checkpoint", files / "checkpoint"]
    assert run(monkeypatch, *common, *clash) == 2
    assert "takes the place of a method" in capsys.readouterr().err


def test_a_checkpoint_of_something_else_is_refused(files, tmp_path) -> None:
    observed = pyvda.open_observations(files / "obs.nc")
    checkpoint = files / "checkpoint"
    with pytest.raises(InputError, match=r"step of 0\.02.*trained for 0\.01"):
        pyvda.assimilate(observed, checkpoint=checkpoint, time_step=0.02)
    with pytest.raises(InputError, match="trained for lorenz63"):
        pyvda.assimilate(observed, checkpoint=checkpoint, model="lorenz96")
    with pytest.raises(InputError, match="trained for lorenz63"):
        pyvda.assimilate(observed, checkpoint=checkpoint, model=get_model("lorenz63", rho=20.0))
    with pytest.raises(InputError, match="state of 2 components"):
        pyvda.assimilate(observed.isel(state=slice(2)), checkpoint=checkpoint)
    with pytest.raises(InputError, match="keeps no state in a file"):
        pyvda.assimilate(observed, checkpoint=checkpoint, state=tmp_path / "s.npz")
    with pytest.raises(InputError, match="now called state"):
        pyvda.assimilate(observed, resume_file=tmp_path / "s.npz")
    with pytest.raises(InputError, match="options of learned: unknown key iteration;"):
        pyvda.assimilate(observed, checkpoint=checkpoint, iteration=3)
    with pytest.raises(InputError, match="device 'tpu9'"):
        pyvda.assimilate(observed, checkpoint=checkpoint, device="tpu9")


def test_options_and_a_window_without_observations(files) -> None:
    observed = pyvda.open_observations(files / "obs.nc").load()
    observed["observation"][1] = np.nan
    analysis = pyvda.assimilate(
        observed, checkpoint=files / "checkpoint", iterations=1, precision="float64", batch_size=2
    )
    assert analysis["iterations"].values.tolist() == [1, 0, 1, 1, 1]
    assert analysis["status"].values.tolist() == [0, 2, 0, 0, 0]
    options = json.loads(analysis.attrs["pyvda_configuration"])["options"]
    assert LearnedOptions(**options).batch_size == 2


def test_a_window_far_from_its_observations_is_doubtful() -> None:
    truth = pyvda.simulate("lorenz63", windows=3, seed=5)
    observed = pyvda.observe(truth, "lorenz63", 6)
    observed["observation"][1, 40, 0] += 60.0
    for variance in (None, 2.0, 0.01):
        if variance is None:  # that of the training
            del observed.attrs["observation_error_variance"]
        else:
            observed.attrs["observation_error_variance"] = variance
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PatternWarning)
            analysis = pyvda.assimilate(observed, checkpoint="lorenz63-genn-conv")
        innovation = observed["observation"] - analysis["analysis"]
        misfit = 0.5 * (innovation**2).sum(("time", "state")) / (variance or 2.0)
        limit = chi2.isf(1 / 2450, 25) / 2  # 25 data
        np.testing.assert_allclose(analysis["misfit"], misfit, rtol=1e-6)
        np.testing.assert_allclose(analysis["chi_square_limit"], limit, rtol=0.02)
        expected = [0, 4, 0] if variance != 0.01 else [4, 4, 4]
        assert analysis["status"].values.tolist() == expected


@pytest.mark.gpu
def test_the_same_analysis_on_a_gpu(files) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    observed = pyvda.open_observations(files / "obs.nc")
    on = {
        device: pyvda.assimilate(
            observed, checkpoint=files / "checkpoint", device=device, precision="float64"
        )["analysis"].values
        for device in ("cpu", "cuda")
    }
    np.testing.assert_allclose(on["cuda"], on["cpu"], rtol=1e-9)
