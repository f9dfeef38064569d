"""A trained model on the disk: a folder with a description and one file of weights.

    model.json or field.json     what the weights belong to, their name and SHA-256
    weights-<hash>.safetensors

The JSON is replaced last, in one atomic step, so that a folder always holds one complete model.
Nothing is pickled, so loading a model runs no code from its folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as read_weights
from torch import Tensor, nn

from pyvda.errors import InputError
from pyvda.io.writing.atomic import replacing


def write_folder(
    folder: str | Path, name: str, description: str, weights_name: str, weights: bytes
) -> None:
    """Write a model, creating the folder; one that is there is replaced in one atomic step."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / weights_name) as temporary:
        temporary.write_bytes(weights)
    with replacing(folder / name) as temporary:
        temporary.write_text(description, "utf-8")
    for other in folder.glob("weights-*.safetensors"):
        if other.name != weights_name:
            other.unlink(missing_ok=True)


def read_tensors(path: Path, sha256: str, name: str) -> dict[str, Tensor]:
    """Read a file of weights that the description `name` beside it belongs to.

    Raises
    ------
    InputError
        The file is missing, damaged or no such file.
    """
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the weights {path} cannot be read ({error.strerror}); copy the whole folder"
        ) from error
    if hashlib.sha256(weights).hexdigest() != sha256:
        raise InputError(f"{path} is damaged: its SHA-256 is not the one in {name}; copy it again")
    try:
        return read_weights(weights)
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file ({error}); copy it again") from error


def load_tensors(module: nn.Module, tensors: dict[str, Tensor], path: Path, name: str) -> None:
    """Put weights into a module, in the precision that was trained.

    Raises
    ------
    InputError
        They are those of another architecture.
    """
    try:
        module.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(
            f"the weights {path} do not belong to the architecture in {name} ({first}); use the "
            "two files of one training"
        ) from None
