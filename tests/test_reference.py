"""FSGD with the paper's iterations, against the published Table 1 and known end points.

References: Table 1's first row (R 3.55, cost 7.70e-3, reached on its way near 50 000 iterations on
windows without observations at their edges); the end of the descent on `lorenz63` (R 1.34, cost
8.3e-3) and on `lorenz96` (R 1.04, cost 1.47e-2; the paper has 1.06 and 1.47e-2), both measured by
other programs on other windows, whose scatter the tolerances allow for. The descent of Lorenz-96
has many minima: where it ends depends on the first guess.
"""

import pytest

import pyvda

pytestmark = [pytest.mark.julia, pytest.mark.slow]


@pytest.mark.parametrize(
    ("preset", "windows", "iterations", "r_score", "cost"),
    [
        ("lorenz63-blanked", 128, 50_000, (3.55, 0.25), (7.8e-3, 0.15e-3)),
        ("lorenz63", 512, 50_000, (1.33, 0.2), (8.3e-3, 0.2e-3)),
        ("lorenz96", 256, 10_000, (1.04, 0.05), (1.47e-2, 0.05e-2)),
    ],
)
def test_descent_passes_the_reference(preset, windows, iterations, r_score, cost) -> None:
    truth = pyvda.simulate(preset, windows, 1, engine="julia")
    observed = pyvda.observe(truth, preset, 2)
    analysis = pyvda.assimilate(
        observed, model=truth.attrs["model"], iterations=iterations, engine="julia"
    )
    found = pyvda.evaluate(analysis, truth, engine="julia")
    assert found["r_score"].mean() == pytest.approx(r_score[0], abs=r_score[1])
    assert found["four_dvar_score"].mean() == pytest.approx(cost[0], abs=cost[1])
