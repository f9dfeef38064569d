"""A trained network for fields: what it was trained for, its mean, its weights.

field.json                   `description.FieldDescription`
weights-<hash>.safetensors   see `pyvda.learned.folder`
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as write_weights
from torch import Tensor, nn

from pyvda.fields.learned.description import (
    FIELD_FILE,
    POSITION,
    SEA,
    FieldDescription,
    read_description,
)
from pyvda.fields.learned.network import Inputs, build
from pyvda.learned.folder import load_tensors, read_tensors, write_folder


class FieldModel(nn.Module):
    """A network and what is needed to use it on a file.

    Parameters
    ----------
    about : dict
        The keys of `FieldDescription`, but for the format and the weights.
    mean : (V, S, P)
        Mean by season and point of the sea of the training's grid.
    sea : (Y, X) of bool
        That sea.
    level, local : (V, P), optional
        Mean by point, and the standard deviation around it over the usual one, which a stack needs.
    position : (P, 3), optional
        Of the points of the sea, km, by which the grid is known again.
    """

    mean: Tensor
    sea: Tensor
    level: Tensor | None
    local: Tensor | None

    def __init__(
        self,
        about: dict[str, Any],
        mean: Any,
        sea: Any,
        level: Any = None,
        local: Any = None,
        position: Any = None,
    ) -> None:
        super().__init__()
        self.about = about
        self.position = position
        self.network = build(about["network"], len(about["variables"]))
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer(SEA, torch.as_tensor(sea, dtype=torch.bool))
        for name, given in (("level", level), ("local", local)):
            tensor = None if given is None else torch.as_tensor(given, dtype=torch.float32)
            self.register_buffer(name, tensor)
        self.log_noise = nn.Parameter(torch.zeros(len(about["variables"])))

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and variance of the scaled anomaly, and where a datum is near."""
        found: tuple[Tensor, Tensor, Tensor] = self.network(inputs)
        return found

    def noise(self) -> Tensor:
        """Return the scaled variance of a datum's error, without what the file states, (V,)."""
        known = [v.covariance.nugget / v.scale**2 for v in self.about["variables"].values()]
        return torch.tensor(known).to(self.log_noise) * self.log_noise.exp()

    def describe(self, weights: bytes) -> FieldDescription:
        """Return the content of field.json for these serialised weights."""
        digest = hashlib.sha256(weights).hexdigest()
        return FieldDescription(
            format=2, **self.about, weights=f"weights-{digest[:12]}.safetensors", sha256=digest
        )

    def save(self, folder: str | Path, half: bool = False) -> None:
        """Write the model to a folder, created if necessary, in place of one that is there.

        With `half` the network as float16, which takes half the space; statistics of the field,
        which may be beyond the largest number of that type, as they are.
        """
        tensors = {k: v.detach().cpu() for k, v in self.state_dict().items()}
        if half:
            tensors |= {k: tensors[k].half() for k, _ in self.named_parameters()}
        if self.position is not None:
            tensors[POSITION] = torch.as_tensor(self.position, dtype=torch.float64)
        weights = write_weights(tensors)
        described = self.describe(weights)
        write_folder(folder, FIELD_FILE, described.text(), described.weights, weights)

    @classmethod
    def load(cls, folder: str | Path) -> FieldModel:
        """Read a model that `save` wrote.

        Raises
        ------
        InputError
            A file is missing, damaged, or of another architecture, or a key is unknown.
        """
        described = read_description(folder)
        path = Path(folder) / described.weights
        tensors = {
            name: one.float() if one.dtype == torch.float16 else one
            for name, one in read_tensors(path, described.sha256, FIELD_FILE).items()
        }
        position = tensors.pop(POSITION, None)
        about = {name: getattr(described, name) for name in FieldDescription.model_fields}
        for name in ("format", "weights", "sha256"):
            del about[name]
        empty = torch.zeros(1, 1, 1)
        stacked = described.network.kind == "stack"
        level, local = (
            tensors.get(name, empty[0]) if stacked else None for name in ("level", "local")
        )
        mean, sea = tensors.get("mean", empty), tensors.get(SEA, empty[0])
        found = cls(about, mean, sea, level, local, position)
        load_tensors(found, tensors, path, FIELD_FILE)
        return found.eval()
