"""Windows of an epoch: seeds, order, symmetries, noise and gaps."""

import numpy as np
import pytest
from small_trainings import quick

from pyvda.engine import get_engine
from pyvda.state.batch import Batch
from pyvda.training.configuration import Data
from pyvda.training.data import TwinData
from pyvda.training.module import Assimilator
from pyvda.training.train import train


def test_an_epoch_has_its_own_windows_in_their_order(tmp_path, monkeypatch) -> None:
    seen: list[list[int]] = []
    truths: list[np.ndarray] = []
    step = Assimilator.training_step

    def noted(self, batch, index):
        if index == 0:
            seen.append([])
        seen[-1] += batch["number"].tolist()
        truths.extend(batch["truth"].numpy())
        return step(self, batch, index)

    monkeypatch.setattr(Assimilator, "training_step", noted)
    monkeypatch.setattr("pyvda.training.data._BLOCK", 5)  # of 12 windows
    fixed = quick(data={"fresh": False, "symmetries": False}, training={"epochs": 3})
    train(fixed, tmp_path)
    data = TwinData(fixed.data)
    assert seen == [data.epoch(epoch)[1].tolist() for epoch in range(3)]
    assert len({tuple(numbers) for numbers in seen}) == 3
    np.testing.assert_allclose(truths, data.states[np.concatenate(seen)], rtol=1e-5, atol=1e-5)


def test_blocks_of_an_epoch_are_put_together_in_their_order(monkeypatch) -> None:
    whole = TwinData(Data(windows=12, validation=7)).epoch(1)
    monkeypatch.setattr("pyvda.training.data._BLOCK", 5)
    blocks = TwinData(Data(windows=12, validation=7)).epoch(1)
    np.testing.assert_array_equal(blocks[1], whole[1])
    for name in ("observation", "mask", "first_guess", "truth"):
        np.testing.assert_array_equal(getattr(blocks[0], name), getattr(whole[0], name))


def test_epochs_depend_on_seed_and_number_alone() -> None:
    settings = Data(steps=16, windows=6, validation=2, fresh=True, symmetries=True)
    once, again = TwinData(settings), TwinData(settings)
    once.epoch(0)
    for epoch in (2, 1):
        (batch, numbers), (same, also) = once.epoch(epoch), again.epoch(epoch)
        np.testing.assert_array_equal(batch.truth, same.truth)
        np.testing.assert_array_equal(batch.observation, same.observation)
        np.testing.assert_array_equal(numbers, also)
    assert not np.array_equal(once.epoch(1)[0].truth, once.epoch(2)[0].truth)


@pytest.mark.parametrize("preset", ["lorenz63", "lorenz96"])
def test_symmetries_turn_true_trajectories_into_true_trajectories(preset) -> None:
    data = TwinData(Data(preset=preset, steps=8, windows=8, validation=1, symmetries=True))
    batch, order = data.epoch(0)
    assert not np.allclose(batch.truth, data.states[order])
    model = data.setting.model
    forecast = get_engine().forecast(model, batch.truth[:, :-1], time_step=model.time_step)
    original = get_engine().forecast(model, data.states[order][:, :-1], time_step=model.time_step)
    error = np.square(forecast - batch.truth[:, 1:]).mean((1, 2))
    np.testing.assert_allclose(
        error, np.square(original - data.states[order][:, 1:]).mean((1, 2)), rtol=1e-6
    )
    observed = batch.mask > 0
    assert np.abs((batch.observation - batch.truth)[observed]).mean() < 2.0


def test_noise_is_drawn_anew_each_epoch_or_not() -> None:
    small = {"steps": 16, "windows": 3, "validation": 1}

    def noise(data: TwinData, epoch: int) -> np.ndarray:
        batch, order = data.epoch(epoch)
        return np.where(batch.mask > 0, batch.observation - batch.truth, 0.0)[np.argsort(order)]

    fresh, fixed = TwinData(Data(**small)), TwinData(Data(**small, fresh_noise=False))
    assert not np.allclose(noise(fresh, 1), noise(fresh, 2))
    np.testing.assert_allclose(noise(fixed, 1), noise(fixed, 2), atol=1e-12)


@pytest.mark.parametrize("preset", ["lorenz63", "lorenz96"])
def test_windows_lose_a_share_of_their_data_up_to_the_largest(preset) -> None:
    same = {"preset": preset, "windows": 40, "validation": 40}
    whole, lacking = TwinData(Data(**same)), TwinData(Data(**same, missing=0.6))
    assert (whole.pattern.missing, lacking.pattern.missing) == (0.0, 0.6)

    def shares(all_data: Batch, kept: Batch) -> np.ndarray:
        there, still = all_data.mask > 0, kept.mask > 0
        assert not (still & ~there).any()
        np.testing.assert_array_equal(kept.observation, np.where(still, all_data.observation, 0.0))
        np.testing.assert_array_equal(kept.truth, all_data.truth)
        return 1 - still.sum((1, 2)) / there.sum((1, 2))

    first, second = (shares(whole.epoch(e)[0], lacking.epoch(e)[0]) for e in (1, 2))
    validation = shares(whole.validation, lacking.validation)
    for lost in (first, second, validation):
        noise = 3 * np.sqrt(0.25 / (whole.validation.mask[0] > 0).sum())
        assert -1e-12 <= lost.min() < 0.05 + noise
        assert 0.55 - noise < lost.max() < 0.6 + noise
        assert np.mean(lost) == pytest.approx(0.3, abs=0.1)
        assert np.std(lost) > 0.13  # of shares between 0 and 0.6, 0.17; of 0.3 alone, 0.09
    assert not np.allclose(np.sort(first), np.sort(second))
    assert shares(whole.epoch(1)[0], lacking.epoch(1)[0]).tolist() == first.tolist()


def test_no_window_of_an_epoch_is_one_of_validation_or_of_the_first_epoch() -> None:
    data = TwinData(Data(steps=4, windows=4, validation=8, fresh=True, seed=1, validation_seed=2))
    known = [*data.states, *data.validation.truth]
    for epoch in range(1, 4):
        for window in data.epoch(epoch)[0].truth:
            assert not any(np.array_equal(window, other) for other in known)
