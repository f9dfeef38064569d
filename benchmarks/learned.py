"""One training step and inference with 20 iterations, beside the published way on the same weights.

    python benchmarks/learned.py [--threads N] [--repeats N] [--iterations N]

Both ways take the same batch in float32 in one process, in turn; the best of the repeats counts, as
what else the machine does can only add. The losses must agree to 1e-5. PYVDA_KERNELS chooses the
operations of the Julia engine (where it has them, the default here) or torch's. A table is printed,
and benchmarks/results/learned.json written with machine, versions and date.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from published import EndToEnd
from record import write

from pyvda.batch import Batch
from pyvda.cost import VariationalCost
from pyvda.engine import get_engine
from pyvda.priors import TwoScaleGENN
from pyvda.solvers import ConvSolver, LSTMSolver


def lorenz63() -> tuple[TwoScaleGENN, ConvSolver, tuple[int, int, int]]:
    return TwoScaleGENN(3), ConvSolver(3), (128, 200, 3)


def lorenz96() -> tuple[TwoScaleGENN, LSTMSolver, tuple[int, int, int]]:
    prior = TwoScaleGENN(1, 2, True, features=50, latent=50, merge=50)
    return prior, LSTMSolver(1, 2, True), (16, 200, 40)


CASES = {
    "Lorenz-63, TwoScaleGENN + ConvSolver, 128 windows": lorenz63,
    "Lorenz-96, TwoScaleGENN + LSTMSolver, 16 windows": lorenz96,
}


def best(repeats: int, *calls: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Return the least wall-clock seconds of each call, taken in turn, and what each returned."""
    times, values = [float("inf")] * len(calls), [0.0] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            values[i] = call()
            times[i] = min(times[i], time.perf_counter() - start)
    return times, values


def measure(make: Any, iterations: int, repeats: int) -> dict[str, float]:
    torch.manual_seed(0)
    prior, solver, shape = make()
    cost = VariationalCost(prior, 1.0, 1.0, learnable=True)
    published = EndToEnd(prior, solver, 1.0, 1.0)
    truth = torch.randn(shape)
    mask = (torch.rand(shape) < 0.3).float()
    batch = Batch(mask * (truth + 0.1 * torch.randn(shape)), mask, torch.randn(shape), truth)
    modules = torch.nn.ModuleList((cost, solver))

    def train(analyse: Callable[[], torch.Tensor], module: torch.nn.Module) -> float:
        module.zero_grad()
        loss = (analyse() - truth).square().mean()
        loss.backward()
        return loss.item()

    @torch.no_grad()
    def infer(analyse: Callable[[], torch.Tensor]) -> float:
        return (analyse() - truth).square().mean().item()

    def ours() -> torch.Tensor:
        return solver.solve(cost, batch, iterations).x

    def theirs() -> torch.Tensor:
        return published(batch, iterations)

    training, losses = best(repeats, lambda: train(ours, modules), lambda: train(theirs, published))
    inference, _ = best(repeats, lambda: infer(ours), lambda: infer(theirs))
    return {
        "loss": losses[0],
        "loss_difference": abs(losses[0] - losses[1]) / abs(losses[1]),
        "training_step_s": training[0],
        "training_step_published_s": training[1],
        "training_speedup": training[1] / training[0],
        "inference_windows_per_s": shape[0] / inference[0],
        "inference_windows_per_s_published": shape[0] / inference[1],
        "inference_speedup": inference[1] / inference[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    # What a run that has Julia running anyway computes with.
    os.environ.setdefault(
        "PYVDA_KERNELS", "julia" if get_engine().info.name == "julia" else "torch"
    )
    results = {}
    print(f"{arguments.iterations} iterations, float32, {arguments.threads} threads")
    print(f"{'':52}{'pyvda':>10}{'published':>12}{'ratio':>8}")
    for name, make in CASES.items():
        found = results[name] = measure(make, arguments.iterations, arguments.repeats)
        print(name)
        print(
            f"{'  training step, s':52}{found['training_step_s']:10.2f}"
            f"{found['training_step_published_s']:12.2f}{found['training_speedup']:8.2f}"
        )
        print(
            f"{'  inference, windows/s':52}{found['inference_windows_per_s']:10.1f}"
            f"{found['inference_windows_per_s_published']:12.1f}{found['inference_speedup']:8.2f}"
        )
        print(f"{'  relative difference of the losses':52}{found['loss_difference']:10.1e}")
        if found["loss_difference"] > 1e-5:
            raise SystemExit("the two ways do not compute the same loss")
    path = write(
        "learned",
        {"threads": arguments.threads, "kernels": os.environ["PYVDA_KERNELS"], "cases": results},
    )
    print(f"written: {path}")


if __name__ == "__main__":
    main()
