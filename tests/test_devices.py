"""The same modules on a GPU as on a CPU; tests that need no GPU run on the CPU."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pyvda.cost import BackgroundTerm, VariationalCost
from pyvda.models.in_torch import bilinear, known
from pyvda.priors import GENN, AutoEncoderPrior, EulerPrior, RK4Prior, TwoScaleGENN
from pyvda.solvers import ConvSolver, GradientDescent, LSTMSolver
from pyvda.state.batch import Batch
from pyvda.training.configuration import Configuration
from pyvda.training.train import train
from pyvda.validation_errors import validated

cuda = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    ],
)
on_devices = pytest.mark.parametrize("device", ["cpu", cuda])

PRIORS = {  # Φ, and the components of its states
    "euler": (lambda: EulerPrior(known("lorenz63"), 0.01), 3),
    "rk4": (lambda: RK4Prior(known("lorenz96", state_size=8), 0.05), 8),
    "bilinear": (lambda: RK4Prior(bilinear("lorenz63"), 0.01), 3),
    "bilinear circle": (lambda: RK4Prior(bilinear("lorenz96"), 0.05), 8),
    "genn": (lambda: GENN(3, width=3, features=6, latent=4, every=4), 3),
    "two-scale": (lambda: TwoScaleGENN(3, width=3, features=6, latent=4), 3),
    "circle": (lambda: TwoScaleGENN(1, 2, True, width=3, features=6, latent=4, merge=3), 8),
    "autoencoder": (lambda: AutoEncoderPrior(3, width=3, features=4, code=2, factors=4), 3),
}
SOLVERS = {
    "lstm": lambda size: LSTMSolver(3) if size == 3 else LSTMSolver(1, 2, True),
    "conv": lambda size: ConvSolver(3) if size == 3 else ConvSolver(1, 2, True),
    "descent": lambda size: GradientDescent(0.05),
}
both = pytest.mark.parametrize(
    ("prior", "solver"), [(prior, solver) for prior in PRIORS for solver in SOLVERS]
)


pytestmark = pytest.mark.usefixtures("kernels")  # of torch, as a GPU runs them


def problem(prior: str, solver: str) -> tuple[torch.nn.ModuleList, Batch]:
    """Return cost and solver in float64, and windows with truth."""
    torch.manual_seed(3)
    make, size = PRIORS[prior]
    truth, noise, start = torch.randn(3, 4, 16, size, dtype=torch.float64)
    mask = (torch.rand(4, 16, size) < 0.4).double()
    background = BackgroundTerm(precision=torch.full((size,), 0.5), weight=0.1)
    cost = VariationalCost(make(), 0.5, 1.0, learnable=True, background=background)
    modules = torch.nn.ModuleList([cost, SOLVERS[solver](size)]).double()
    return modules, Batch(mask * (truth + 0.1 * noise), mask, start, truth)


def training_step(modules, batch, **options):
    cost, solver = modules
    modules.zero_grad()
    loss = (solver.solve(cost, batch, 4, **options).x - batch.truth).square().mean()
    loss.backward()
    return [loss.detach(), *(p.grad for p in modules.parameters() if p.grad is not None)]


@on_devices
@both
def test_a_training_step_gives_the_same_gradients(prior, solver, device):
    modules, batch = problem(prior, solver)
    expected = training_step(modules, batch)
    there = copy.deepcopy(modules).to(device)
    for options in ({}, {"checkpoint_every": 2}):
        found = training_step(there, batch.to(device=device), **options)
        assert len(found) == len(expected) > 1
        for a, b in zip(found, expected, strict=True):
            assert a.device.type == device
            assert a.isfinite().all()
            torch.testing.assert_close(a.cpu(), b, rtol=1e-7, atol=1e-9)


class _Asked(TorchDispatchMode):
    """Counts the operations that make the host wait for a number from the device."""

    WAITS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero")

    def __init__(self):
        super().__init__()
        self.times = 0

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        name = operation._overloadpacket.__name__
        masked = name.startswith("index") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (arguments[1] if isinstance(arguments[1], list) else ())
        )
        self.times += name in self.WAITS or masked
        return operation(*arguments, **(options or {}))


@both
def test_no_iteration_waits_for_a_number(prior, solver):
    (cost, gamma), batch = problem(prior, solver)
    times = []
    for iterations in (2, 6):
        with torch.no_grad(), _Asked() as asked:
            gamma.solve(cost, batch, iterations)
        times.append(asked.times)
    assert times[0] == times[1]


def test_a_number_that_is_asked_for_is_counted():
    with _Asked() as asked:
        float(torch.ones(3).sum())
        torch.ones(3)[torch.ones(3) > 0]
    assert asked.times == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_a_training_on_a_gpu_resumes(tmp_path, precision):
    def configured(epochs: int) -> Configuration:
        values = {
            "data": {"steps": 48, "windows": 32, "validation": 16},
            "prior": {"kind": "two-scale-genn"},
            "solver": {"kind": "lstm"},
            "loss": {"kind": "supervised"},
            "training": {
                "epochs": epochs,
                "batch_size": 8,
                "iterations": {0: 3},
                "accelerator": "gpu",
                "precision": precision,
            },
        }
        return validated(Configuration, values, "here")

    class Stopped(Exception):
        pass

    curve = []

    def stop(epoch):
        curve.append(epoch["r_score"])
        if len(curve) == 1:
            raise Stopped

    with pytest.raises(Stopped):
        train(configured(3), tmp_path / "run", report=stop)
    model = train(configured(3), tmp_path / "run", resume=True, report=stop)
    assert model is not None
    assert len(curve) == 3
    assert all(score is not None for score in curve)
