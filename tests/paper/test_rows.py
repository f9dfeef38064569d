"""Rows of the tables and their trainings."""

from pathlib import Path

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.methods import METHODS
from pyvda.paper import (
    retraining,
    rows,
)
from pyvda.paper.held_out import HELD_OUT, check_not_trained_on
from pyvda.training import data
from pyvda.training.configuration import Configuration, Data, read_configuration
from pyvda.validation_errors import validated

ROOT = Path(__file__).parents[2]


EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))


def test_no_training_sees_the_test_windows() -> None:
    tested = {s for one in HELD_OUT.values() for s in (one.truth_seed, one.observation_seed)}
    for path in EXPERIMENTS:
        configuration = read_configuration(path)
        check_not_trained_on(configuration.model_dump(mode="json"))
        for seed in (configuration.data.seed, configuration.data.validation_seed):
            assert seed not in tested
            assert seed < 2**16
    # An epoch's seed has three 32-bit words, the highest of which a seed of one word has not.
    assert data._WORD == 1 << 32
    assert min(tested) > 10**9
    assert max(tested) < 2**32


def test_the_sizes_are_the_papers() -> None:
    assert {name: one.windows for name, one in HELD_OUT.items()} == {
        "lorenz63": 2000, "lorenz63-blanked": 2000, "lorenz96": 256,
    }  # fmt: skip


def test_first_windows_are_the_same_however_many() -> None:
    few, many = (HELD_OUT["lorenz63"].make(n) for n in (3, 5))
    for one, other, name in zip(few, many, ("truth", "observation"), strict=True):
        np.testing.assert_array_equal(one[name], other[name].isel(window=slice(0, 3)))


def test_a_training_on_the_test_windows_is_refused() -> None:
    seed = HELD_OUT["lorenz96"].truth_seed
    with pytest.raises(InputError, match=r"seed 1996000001.*train with another"):
        check_not_trained_on({"data": {"seed": seed, "validation_seed": 2}})


def test_the_papers_numbers_are_those_printed() -> None:
    """Against the text of the tables, as far as it is in the experiments' comments."""
    for table, system in (("table1", "lorenz63"), ("table2", "lorenz96")):
        by_key = {row.key: row for row in rows.TABLES[table].rows}
        for path in EXPERIMENTS:
            stem = path.stem.removeprefix(f"{system}_")
            if stem == path.stem or "supervised" not in stem:
                continue
            key = stem.replace("_supervised", "").replace("_", "-")
            paper = by_key[key].paper
            comment = " ".join(path.read_text("utf-8").split("\n\n")[0].replace("#", "").split())
            if paper.r_score:
                assert f"R {paper.r_score}" in comment, path
            if paper.four_dvar and "4DVar-score" in comment:
                number = comment.split("4DVar-score ")[1].split()[0].rstrip(".,")
                assert float(number) == pytest.approx(float(paper.four_dvar))


def test_every_learned_row_has_its_training() -> None:
    for table in rows.TABLES.values():
        for row in table.rows:
            if row.method != "learned":
                continue
            found = retraining._experiment(table.settings[0], row)
            assert isinstance(found, Configuration), row.key
            assert found.data.preset == table.settings[0]
            assert found.loss.kind == row.scheme
            if row.solver.startswith("aG-"):
                assert found.prior.kind.endswith(row.prior.lower())
                assert found.solver.kind == row.solver.removeprefix("aG-").lower()
            else:
                own = retraining._experiment(table.settings[-1], row)
                assert own is not None
                assert own.data.preset == table.settings[-1]


def test_the_options_of_every_row_are_those_of_its_method() -> None:
    for table in rows.TABLES.values():
        for row in table.all_rows():
            if row.method != "learned":
                for quick in (False, True):
                    settings = row.settings_of(quick)
                    chosen = METHODS[row.method].options
                    if settings.pop("warm_start", None) is not None:
                        assert chosen.starts_from_first_guess
                    chosen(**settings)


def test_equal_seeds_draw_equal_windows() -> None:
    """What the count above rests on: in the first and in a later epoch of two trainings."""
    blanked = {"preset": "lorenz63-blanked", "windows": 3, "validation": 1, "fresh": True}
    one, other = (
        data.TwinData(validated(Data, values, "x"))
        for values in (blanked, {**blanked, "preset": "lorenz63", "windows": 2})
    )
    for epoch in (0, 1):
        (a, order_a), (b, order_b) = (of.epoch(epoch) for of in (one, other))
        truth_a = a.truth[np.argsort(order_a)][:2]
        np.testing.assert_array_equal(truth_a, b.truth[np.argsort(order_b)])
