"""A trained network for data at points: what it was trained for, and its weights.

points.json                  `description.PointDescription`
weights-<hash>.safetensors   see `pyvda.learned.folder`
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as write_weights
from torch import Tensor, nn

from pyvda.engine.data import Array, Interpolated
from pyvda.fields.learned_points.description import (
    POINTS_FILE,
    PointDescription,
    read_description,
)
from pyvda.fields.learned_points.neighbours import neighbours_of
from pyvda.fields.learned_points.network import Inputs, NeighbourNetwork, inputs_of
from pyvda.fields.places import Places
from pyvda.fields.scattered import ScatteredRows
from pyvda.learned.folder import load_tensors, read_tensors, write_folder

_BATCH = 8192  # targets


class PointModel(nn.Module):
    """A network and what is needed to use it on data.

    Parameters
    ----------
    about : dict
        The keys of `PointDescription`, but for the format and the weights.
    """

    def __init__(self, about: dict[str, Any]) -> None:
        super().__init__()
        self.about = about
        self.network = NeighbourNetwork(about["network"])

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the corrections of each member, in units of the variable, (M, B)."""
        found: Tensor = self.network(inputs) * inputs.unit
        return found

    @torch.no_grad()
    def corrected(
        self, rows: ScatteredRows, places: Places, days: Array, found: Interpolated
    ) -> Interpolated:
        """Return an interpolation whose values are corrected; the variance stays.

        Parameters
        ----------
        rows : ScatteredRows
            Data, as departures from the mean.
        places : Places
            Of the n targets.
        days : (n,)
            Their times.
        found : Interpolated
            Their interpolation, (n,).
        """
        about = PointDescription.model_construct(**self.about)
        units, value = about.scales(), found.value.copy()
        device = next(self.parameters()).device
        for first in range(0, len(value), _BATCH):
            part = slice(first, first + _BATCH)
            some = Interpolated(*(one[part] for one in found))
            around = neighbours_of(
                rows, places.at(part), days[part], about.covariance, units, about.network.data
            )
            inputs = inputs_of(some, around, about.covariance.variance, units, about.reach)
            change = self(Inputs(*(one.to(device) for one in inputs))).mean(0)
            value[part] += change.double().cpu().numpy()
        return found._replace(value=value)

    def save(self, folder: str | Path) -> None:
        """Write the model to a folder, created if necessary, in place of one that is there."""
        weights = write_weights({k: v.detach().cpu() for k, v in self.state_dict().items()})
        digest = hashlib.sha256(weights).hexdigest()
        described = PointDescription(
            format=1, **self.about, weights=f"weights-{digest[:12]}.safetensors", sha256=digest
        )
        write_folder(folder, POINTS_FILE, described.text(), described.weights, weights)

    @classmethod
    def load(cls, folder: str | Path) -> PointModel:
        """Read a model that `save` wrote.

        Raises
        ------
        InputError
            A file is missing, damaged, or of another architecture, or a key is unknown.
        """
        described = read_description(folder)
        path = Path(folder) / described.weights
        about = {name: getattr(described, name) for name in PointDescription.model_fields}
        for name in ("format", "weights", "sha256"):
            del about[name]
        found = cls(about)
        load_tensors(found, read_tensors(path, described.sha256, POINTS_FILE), path, POINTS_FILE)
        return found.eval()
