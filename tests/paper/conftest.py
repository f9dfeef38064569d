"""The folder of shipped weights, with small models in it."""

from pathlib import Path

import pytest
from paper_models import model

from pyvda.learned import shipped


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """A package with one shipped model, that of the row `genn-conv` in the published setting."""
    folder = tmp_path / "weights"
    model().save(folder / "lorenz63-blanked-genn-conv")
    monkeypatch.setattr(shipped, "FOLDER", folder)
    return folder
