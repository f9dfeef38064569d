"""A training step and inference with 20 iterations, compared with the published form.

    python benchmarks/learned.py [--threads N] [--seconds S] [--iterations N] [--device cuda]

Three implementations process the same batch in float32, in turn, in one process with the same
number of threads and the same weights. The best time of each counts, because other load can only
add to it:

    published   autograd for the inner gradient, every convolution one of torch's (published.py)
    torch       pyvda without the engine: linear chains multiplied out, hand-derived backward passes
    julia       the same in the engine's kernels, where they support the prior and the solver (CPU)

The losses must agree to 1e-5, of inference as of training, and the gradient by the solver's last
layer to 5e-2 of its largest entry: in float32 that of 20 iterations is no better itself (in float64
all agree to rounding, tests/test_published.py). A table is printed, and
benchmarks/results/learned.json written with machine, versions and date.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from published import EndToEnd
from store import write

from pyvda.cost import VariationalCost
from pyvda.engine import get_engine
from pyvda.priors import TwoScaleGENN
from pyvda.solvers import ConvSolver, LSTMSolver
from pyvda.state.batch import Batch


def lorenz63() -> tuple[TwoScaleGENN, ConvSolver, tuple[int, int, int]]:
    return TwoScaleGENN(3), ConvSolver(3), (128, 200, 3)


def lorenz96() -> tuple[TwoScaleGENN, LSTMSolver, tuple[int, int, int]]:
    prior = TwoScaleGENN(1, 2, True, features=50, latent=50, merge=50)
    return prior, LSTMSolver(1, 2, True), (16, 200, 40)


CASES = {
    "Lorenz-63, TwoScaleGENN + ConvSolver, 128 windows": lorenz63,
    "Lorenz-96, TwoScaleGENN + LSTMSolver, 16 windows": lorenz96,
}
WAYS = ("published", "torch", "julia")
TOLERANCES = {"loss": 1e-5, "inference_loss": 1e-5, "gradient": 5e-2}


def best(seconds: float, calls: dict[str, Callable[[], float]]) -> tuple[dict, dict]:
    """Return the least wall-clock seconds of each call, and its result.

    The calls are made in turn for this many seconds, at least twice.
    """
    times = dict.fromkeys(calls, float("inf"))
    values = {}
    begun, rounds = time.perf_counter(), 0
    while rounds < 2 or time.perf_counter() - begun < seconds:
        for way, call in calls.items():
            start = time.perf_counter()
            values[way] = call()
            times[way] = min(times[way], time.perf_counter() - start)
        rounds += 1
    return times, values


def difference(values: dict[str, Any]) -> float:
    """Return the largest difference from the published way's value, relative to its largest entry.

    NaN if one of the values is NaN.
    """
    arrays = {way: np.asarray(torch.as_tensor(value).cpu()) for way, value in values.items()}
    reference = arrays["published"]
    differences = [np.abs(array - reference).max() for array in arrays.values()]
    return float(np.max(differences) / np.abs(reference).max())


def refuse_differences(name: str, found: dict[str, Any]) -> None:
    """End the benchmark if the ways give different results."""
    for what, tolerance in TOLERANCES.items():
        value = found[f"{what}_difference"]
        if not value <= tolerance:
            raise SystemExit(
                f"{name}: the ways do not compute the same {what.replace('_', ' ')}, they differ "
                f"by {value:.1e}, expected at most {tolerance:.0e}"
            )


def measure(
    make: Any, iterations: int, seconds: float, ways: tuple[str, ...], device: str
) -> dict[str, Any]:
    """Return seconds per training step and windows per second of inference, for each way."""
    torch.manual_seed(0)
    prior, solver, shape = make()
    cost = VariationalCost(prior, 1.0, 1.0, learnable=True).to(device)
    published = EndToEnd(prior, solver, 1.0, 1.0).to(device)
    solver.to(device)
    truth, noise, guess = torch.randn(3, *shape, device=device)
    mask = (torch.rand(shape, device=device) < 0.3).float()
    batch = Batch(mask * (truth + 0.1 * noise), mask, guess, truth)
    ours = torch.nn.ModuleList((cost, solver))
    gradients = {}

    def loss(way: str) -> torch.Tensor:
        if way == "published":
            return (published(batch, iterations) - truth).square().mean()
        os.environ["PYVDA_KERNELS"] = way
        return (solver.solve(cost, batch, iterations).x - truth).square().mean()

    def train(way: str) -> float:
        (published if way == "published" else ours).zero_grad()
        found = loss(way)
        found.backward()
        last = published.update if way == "published" else solver.update
        gradients[way] = last.weight.grad.clone()
        return found.item()  # waits for a GPU

    @torch.no_grad()
    def infer(way: str) -> float:
        return loss(way).item()

    training, losses = best(seconds, {way: lambda way=way: train(way) for way in ways})
    inference, answers = best(seconds / 2, {way: lambda way=way: infer(way) for way in ways})
    return {
        "loss_difference": difference(losses),
        "inference_loss_difference": difference(answers),
        "gradient_difference": difference(gradients),
        "training_step_s": training,
        "inference_windows_per_s": {way: shape[0] / s for way, s in inference.items()},
        "training_ratio": {way: training["published"] / s for way, s in training.items()},
        "inference_ratio": {way: inference["published"] / s for way, s in inference.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=60.0, help="for each line of the table")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if torch.device(arguments.device).type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device: skipped")
        return
    torch.set_num_threads(arguments.threads)
    engine = get_engine().info
    ways = WAYS if engine.name == "julia" and arguments.device == "cpu" else WAYS[:2]
    results = {}
    where = f"{arguments.threads} threads, {engine}"
    if arguments.device != "cpu":
        where = torch.cuda.get_device_name(arguments.device)
    print(f"{arguments.iterations} iterations, float32, {where}\n")
    print(f"{'':54}" + "".join(f"{way:>18}" for way in ways))
    for name, make in CASES.items():
        found = results[name] = measure(
            make, arguments.iterations, arguments.seconds, ways, arguments.device
        )
        print(name)
        for key, digits, label in (
            ("training_step", 2, "training step, s"),
            ("inference", 1, "inference, windows/s"),
        ):
            values = found["training_step_s" if digits == 2 else "inference_windows_per_s"]
            ratios = found[key.removesuffix("_step") + "_ratio"]
            cells = (f"{values[way]:10.{digits}f} ({ratios[way]:.1f}x)" for way in ways)
            print(f"  {label:52}" + "".join(f"{cell:>18}" for cell in cells))
        refuse_differences(name, found)
    name = "learned" if arguments.device == "cpu" else "learned-gpu"
    path = write(name, {"where": where, "cases": results})
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
