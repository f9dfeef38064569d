"""What a window takes of memory: the plan's arithmetic, and the peak of a process of its own."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from pyvda.errors import InputError
from pyvda.methods.memory_plan import MemoryPlan
from pyvda.methods.trajectory import window_bytes

GIB = 2**30
PLAN = MemoryPlan(limit=GIB, steps=41, size=5000, rank=5000, iterations=10, block=41)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"spread": True},
        {"workspace": 4 << 20},
        {"spread": True, "members": 20, "analyses": True, "truths": 3, "data": 1 << 20},
        {"rank": 41 * 5000, "spread": True},
        {"block": 10 * 41, "spread": True},
    ],
)
def test_the_number_that_a_refusal_names_is_enough_and_little_less_is_not(more) -> None:
    plan = replace(PLAN, limit=1000, **more)
    with pytest.raises(
        InputError, match=r"memory is 9\.313e-07 GiB, and a window of 41"
    ) as refused:
        plan.expect_room()
    found = re.search(r"--memory (\S+)\)", str(refused.value))
    assert found is not None
    least = float(found[1])
    enough = replace(plan, limit=int(least * GIB))
    enough.expect_room()
    assert enough.needed <= enough.limit
    with pytest.raises(InputError, match=f"needs {least:.3g};"):
        replace(plan, limit=int(0.985 * least * GIB)).expect_room()


@pytest.mark.parametrize(
    "more", [{"spread": True}, {"members": 9}, {"truths": 3}, {"data": 9}, {"workspace": 8}]
)
def test_what_is_held_beside_the_trajectory_counts(more) -> None:
    assert replace(PLAN, **more).needed > PLAN.needed


def test_what_a_window_leaves_is_for_linearisations_and_then_for_perturbations() -> None:
    plan = replace(PLAN, workspace=1 << 20, spread=True)
    assert plan.stride == plan.steps - 1
    short = replace(plan, limit=plan.needed + (6 << 20))
    assert short.linearisations == 6 << 20
    assert short.together == 1
    assert plan.linearisations == 41 << 20
    assert plan.together == 8
    for limit in range(plan.needed, plan.limit, 50 << 20):
        one = replace(plan, limit=limit)
        assert one.needed + one.linearisations <= limit


def test_what_is_still_left_is_for_the_vectors_of_draws() -> None:
    least = replace(PLAN, spread=True, workspace=1 << 20)
    least = replace(least, limit=least.needed)
    assert least.controls == 4 * least.iterations  # those of loops that have ended
    for more in range(0, 500 << 20, 50 << 20):
        one = replace(least, limit=least.limit + more)
        segment = 5 * 8 * one.size * 41 + 3 * 8 * one.rank + one.workspace
        held = one.needed + one.linearisations + 8 * one.rank * (one.controls - 4 * one.iterations)
        assert held + (segment * one.together if more > 50 << 20 else 0) <= one.limit
    assert one.controls > 4000


def test_segments_are_shorter_where_the_rest_takes_more() -> None:
    whole = replace(PLAN, limit=PLAN.needed)
    assert whole.stride == 40
    tight = replace(whole, spread=True, limit=whole.limit)
    assert tight.stride < 40
    assert tight.needed < replace(PLAN, spread=True).needed


def test_the_trajectory_of_the_minimum_stays_beside_the_analyses() -> None:
    analyses = replace(PLAN, members=3, analyses=True)
    draws = replace(PLAN, members=3)
    bytes_of = [window_bytes(41, 40, 5000, trajectories=count) for count in (2, 3)]
    assert analyses.needed - draws.needed == bytes_of[1] - bytes_of[0] == 8 * 41 * 5000


PEAK = """
import re, sys, warnings
import numpy as np, xarray as xr
import pyvda
from pyvda.operators import Spectral, power

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)

def analysed(n, times, memory):
    psi = np.full((times, n, n), np.nan)
    psi[:, 5::12, 5::12] = rng.normal(size=psi[:, 5::12, 5::12].shape)
    B = Spectral((n, n), power(2.0, 3.0), 0.5, boundary="wall", uniform=False)
    observed = xr.Dataset({"psi": (("time", "y", "x"), psi)}, {"time": 5.0 * np.arange(times)})
    open("/proc/self/clear_refs", "w").write("5")
    before = peak()
    pyvda.assimilate(
        observed, model=pyvda.get_model("qg", n=n), method="incremental", covariance=B,
        background=np.zeros(n * n), members=4, observation_variance=4.0, iterations=1,
        inner_iterations=4, inner_tolerance=0.3, memory=memory, engine="julia",
    )
    return peak() - before

def peak():
    lines = open("/proc/self/status")
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20

n, limit = int(sys.argv[1]), float(sys.argv[2])
analysed(9, 3, 1.0)
try:
    analysed(n, 40, 0.01)
except pyvda.InputError as error:
    least = float(re.search(r"--memory (\\S+)\\)", str(error))[1])
limit = limit or least
print(limit, analysed(n, 40, limit))
"""


@pytest.mark.julia
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("n", [65, pytest.param(129, marks=pytest.mark.exhaustive)])
def test_a_process_takes_no_more_than_its_limit(n: int) -> None:
    """Peaks of resident memory, beside the file, of the least limit and of one that is larger."""
    peaks = []
    for limit in (0.0, 0.5):  # 0: the one that the refusal names
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(n), str(limit)], capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        allowed, peak = map(float, done.stdout.split())
        assert peak < allowed
        peaks.append(peak)
    assert 1.5 * peaks[0] < peaks[1]
