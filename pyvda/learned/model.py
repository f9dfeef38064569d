"""A learned model: normalisation, prior, cost and solver, applied to physical observations.

On the disk it is a folder with two files:

    model.json              architecture, observation pattern, name and SHA-256 of the weights
    weights-<hash>.safetensors

See `pyvda.learned.folder`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as write_weights
from torch import Tensor, nn

from pyvda import priors
from pyvda.cost import VariationalCost
from pyvda.errors import InputError
from pyvda.learned.architecture import Architecture, Cost, ODESection
from pyvda.learned.build import build_prior, build_solver
from pyvda.learned.description import MODEL_FILE, Description, Pattern, read_description
from pyvda.learned.folder import load_tensors, read_tensors, write_folder
from pyvda.models.model import Model
from pyvda.solvers import SolverResult
from pyvda.state.batch import Batch


class LearnedModel(nn.Module):
    """A prior Φ and a solver Γ, with the normalisation between physical units and theirs.

    Parameters
    ----------
    architecture : Architecture
        Prior, cost and solver; their initial weights are random.
    pattern : Pattern
        Dynamical model and observations that it is trained for.
    mean, std : (D,) or scalar
        Mean and standard deviation of the training states; Φ and Γ work on z = (x − mean) / std.
    iterations : int
        Solver iterations.
    model : Model, optional
        The dynamical model, where an ODE prior runs one of the user's own.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        architecture: Architecture,
        pattern: Pattern,
        mean: Any,
        std: Any,
        iterations: int,
        model: Model | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.pattern = pattern
        self.iterations = iterations
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float64))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float64))
        prior = build_prior(architecture.prior, pattern, model)
        if isinstance(architecture.prior, ODESection):
            prior = priors.ScaledPrior(prior, self.mean, self.std)
        settings: Cost = architecture.cost
        self.cost = VariationalCost(prior, settings.lambda1, settings.lambda2, settings.learnable)
        self.solver = build_solver(architecture.solver, pattern)

    def _repr_html_(self) -> str:
        from pyvda.html_tables import of_learned_model

        return of_learned_model(self)

    @property
    def prior(self) -> nn.Module:
        """Φ, for normalised states."""
        return self.cost.prior

    def normalised(self, batch: Batch) -> Batch:
        """Return a batch of torch tensors in normalised units."""
        truth = None if batch.truth is None else self.to_normalised(batch.truth)  # type: ignore
        return Batch(
            self.to_normalised(batch.observation),  # type: ignore[arg-type]
            batch.mask,
            self.to_normalised(batch.first_guess),  # type: ignore[arg-type]
            truth,
        )

    def to_normalised(self, x: Tensor) -> Tensor:
        """Return z of physical states x, both (B, T, D)."""
        return (x - self.mean.to(x)) / self.std.to(x)

    def to_physical(self, z: Tensor) -> Tensor:
        """Return x of normalised states z, both (B, T, D)."""
        return z * self.std.to(z) + self.mean.to(z)

    def forward(self, batch: Batch, iterations: int | None = None) -> SolverResult:
        """Return the analyses of windows, in physical units.

        Parameters
        ----------
        batch : Batch
            Torch tensors (B, T, D) in physical units, whose device and dtype are used.
        iterations : int, optional
            Number of iterations; default: the trained number.

        Raises
        ------
        InputError
            The state has another size than the trained one.
        """
        batch.expect_components("a trained model")
        size = batch.observation.shape[2]
        if size != self.pattern.state_size:
            raise InputError(
                f"the observations have a state of {size} components, the learned model was "
                f"trained for {self.pattern.state_size}; choose a checkpoint of the same model"
            )
        count = self.iterations if iterations is None else iterations
        found = self.solver.solve(self.cost, self.normalised(batch), count)
        x = self.to_physical(found.x)
        if self.architecture.mirrored:
            signs = torch.tensor(self.pattern.dynamics().mirror_signs).to(x)
            image = self.normalised(
                Batch(signs * batch.observation, batch.mask, signs * batch.first_guess)
            )
            x_image = self.to_physical(self.solver.solve(self.cost, image, count).x)
            x = 0.5 * (x + signs * x_image)
        return SolverResult(x, found.iterations, found.status)

    def describe(self, weights: bytes) -> Description:
        """Return the content of model.json for these serialised weights."""
        digest = hashlib.sha256(weights).hexdigest()
        return Description(
            format=1,
            pattern=self.pattern,
            architecture=self.architecture,
            normalisation="scalar" if self.mean.ndim == 0 else "component",
            iterations=self.iterations,
            weights=f"weights-{digest[:12]}.safetensors",
            sha256=digest,
        )

    def digest(self) -> str:
        """Return the SHA-256 of the model's description, which includes that of its weights."""
        return self.describe(self._serialised()).digest()

    def save(self, folder: str | Path) -> str:
        """Write the model to a folder, created if necessary, and return its SHA-256.

        An existing model in the folder is replaced in one atomic step.
        """
        weights = self._serialised()
        description = self.describe(weights)
        write_folder(folder, MODEL_FILE, description.text(), description.weights, weights)
        return description.digest()

    @classmethod
    def load(cls, folder: str | Path, model: Model | None = None) -> LearnedModel:
        """Read a model that `save` wrote.

        Parameters
        ----------
        folder : path
        model : Model, optional
            The dynamical model, where an ODE prior runs one of the user's own.

        Raises
        ------
        InputError
            A file is missing, damaged, or of another architecture, a key is unknown, or the prior
            needs a dynamical model that was not given.
        """
        folder = Path(folder)
        description = read_description(folder)
        tensors = read_tensors(folder / description.weights, description.sha256, MODEL_FILE)
        size = () if description.normalisation == "scalar" else (description.pattern.state_size,)
        learned = cls(
            description.architecture,
            description.pattern,
            torch.zeros(size),
            torch.ones(size),
            description.iterations,
            model,
        )
        load_tensors(learned, tensors, folder / description.weights, MODEL_FILE)
        return learned.eval()

    def _serialised(self) -> bytes:
        # Copies, because an ODE prior shares the memory of the normalisation.
        tensors = {k: v.detach().cpu().clone() for k, v in self.state_dict().items()}
        return write_weights(tensors)
