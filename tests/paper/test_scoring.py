"""Scores of the paper's rows, and the time that they take."""

import numpy as np
import pytest
import torch
from paper_models import model

import pyvda
from pyvda import names
from pyvda.learned.model import LearnedModel
from pyvda.paper import (
    markdown,
    scoring,
)
from pyvda.paper.held_out import HELD_OUT


def test_scores_under_a_learned_prior_are_those_of_its_definition(weights) -> None:
    """By hand in numpy and autograd-free torch, window by window."""
    checkpoint = weights / "lorenz63-blanked-genn-conv"
    truth, observed = HELD_OUT["lorenz63-blanked"].make(3)
    analysis, seconds = scoring.assimilated(observed, checkpoint=checkpoint)
    found = scoring.scored(analysis, truth, checkpoint)
    phi = LearnedModel.load(checkpoint).double().prior
    assert seconds > 0
    for w in range(3):
        x, true = analysis["analysis"].values[w], truth["truth"].values[w]
        y = observed["observation"].values[w]

        def residual(states: np.ndarray) -> float:
            with torch.no_grad():
                z = torch.as_tensor((states[None] - 7.0) / 11.0)
                return float(np.mean((states - (phi(z)[0].numpy() * 11.0 + 7.0))[1:] ** 2))

        misfit = np.nanmean((x - y) ** 2)
        assert found["r_score"][w] == pytest.approx(np.mean((x - true) ** 2), rel=1e-12)
        assert found["four_dvar_score"][w] == pytest.approx(0.01 * misfit + residual(x), rel=1e-9)
        assert found["ode_score"][w] == pytest.approx(residual(true), rel=1e-9)
    assert np.all(found["ode_score_rk4"] < 1e-9)


def test_under_a_known_model_both_scores_are_one(tmp_path) -> None:
    model(prior="rk4").save(tmp_path / "m")
    truth, observed = HELD_OUT["lorenz63-blanked"].make(2)
    for checkpoint in (None, tmp_path / "m"):
        kind = {"iterations": 3} if checkpoint is None else {"checkpoint": checkpoint}
        analysis, _ = scoring.assimilated(observed, **kind)
        found = scoring.scored(analysis, truth, checkpoint)
        np.testing.assert_array_equal(found["four_dvar_score"], found["four_dvar_score_rk4"])


def test_a_regression_has_no_prior_and_no_scores_under_it(tmp_path) -> None:
    """Its configuration names one, as all do; a shooting model runs it."""
    truth, observed = HELD_OUT["lorenz63-blanked"].make(2)
    own = {"four_dvar_score", "ode_score"}
    for solver in ("regression", "shooting"):
        model(prior="rk4", solver=solver).save(tmp_path / solver)
        analysis, _ = scoring.assimilated(observed, checkpoint=tmp_path / solver)
        found = scoring.scored(analysis, truth, tmp_path / solver)
        assert own & found.keys() == (set() if solver == "regression" else own)
        assert {f"{name}_rk4" for name in own} <= found.keys()


def test_the_clock_starts_after_a_warm_up(monkeypatch) -> None:
    _, observed = HELD_OUT["lorenz63-blanked"].make(3)
    runs: list[tuple[int, bool]] = []
    at = iter((10.0, 11.5))

    def run(data, *, report=None, **settings):
        runs.append((data.sizes["window"], "state" in settings))
        return data

    monkeypatch.setattr(scoring.pyvda, "assimilate", run)
    monkeypatch.setattr(scoring.time, "perf_counter", lambda: runs and next(at))
    _, seconds = scoring.assimilated(observed, warm_up=2, state="state.npz")
    assert runs == [(2, False), (3, True)]
    assert seconds == 1.5


def test_a_diverged_window_is_named(tmp_path) -> None:
    entry = {
        "state": "scored", "note": "", "windows": 2, "ended": {"diverged": 1}, "iterations": 5.0,
        "seconds": 1.0, "options": {},
        "scores": pyvda.scores.score_table({"r_score": np.array([1.0, np.nan])})["scores"],
    }  # fmt: skip
    results = {
        "title": "t",
        "settings": {"lorenz96": {"windows": 2, "truth_seed": 1, "observation_seed": 2}},
        "rows": [{"row": "a", "scheme": "s", "prior": "p", "solver": "v",
                  "paper": {"r_score": "", "four_dvar": "", "ode": ""},
                  "results": {"lorenz96": entry}}],
    }  # fmt: skip
    text = markdown.table(results)
    assert "1 windows diverged" in text
    assert "windows that did not diverge" in text
    assert "| — |" in text
    assert names.Status.DIVERGED.name.lower() in entry["ended"]
