"""The training configuration: a YAML file as a validated model.

Unknown keys are refused everywhere: a misspelt option that is silently ignored would train
something else. Missing keys take the defaults given here; the resolved configuration is written
beside the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from pyvda.errors import InputError
from pyvda.learned.architecture import Architecture, Section
from pyvda.models.registry import is_in_julia
from pyvda.training.data_settings import AnyData, Data, Files
from pyvda.validation_errors import validated

_KNOWN = ("rk4", "euler", "step")  # priors that run the model's own function

Rate = Annotated[float, Field(ge=0.0)]


class Supervised(Section):
    """Loss (14) in normalised units, and two terms that hold Φ to the analysis and to the truth.

    For a solver that is trained stage by stage, the loss covers the states of every stage.

    Attributes
    ----------
    prior_analysis, prior_truth : float
        Weights of the squared one-step error of Φ on the analysis and on the truth.
    """

    kind: Literal["supervised"]
    prior_analysis: float = Field(default=0.05, ge=0)
    prior_truth: float = Field(default=0.05, ge=0)


class Unsupervised(Section):
    """Loss (13): U (4) of the analysis itself, in physical units, with these fixed weights.

    Attributes
    ----------
    lambda1, lambda2 : float
        Weights of the observations and of the dynamics.
    """

    kind: Literal["unsupervised"]
    lambda1: float = Field(default=0.01, ge=0)
    lambda2: float = Field(default=1.0, ge=0)


class Identification(Section):
    """The squared one-step error of Φ on true states: Φ alone is trained."""

    kind: Literal["identification"]


AnyLoss = Annotated[Supervised | Unsupervised | Identification, Field(discriminator="kind")]


class Updates(Section):
    """How weights are updated, but for their rates.

    Attributes
    ----------
    kind : {"adam", "adamw"}
        Adam, or Adam with decoupled weight decay.
    schedule : {"constant", "cosine", "step"}
        Cosine from 1 to `final`, or multiplication by `factor` at each epoch in `steps_at`.
    final, factor : float
        Factors on the rates, see `schedule`.
    steps_at : sequence of int
        Epochs of the schedule `step`.
    warmup : int
        Number of steps over which the rates rise from zero.
    weight_decay : float
        Weight decay of AdamW.
    clip : float, optional
        Largest norm of the gradient.
    """

    kind: Literal["adam", "adamw"] = "adam"
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    final: float = Field(default=0.01, ge=0)
    steps_at: tuple[int, ...] = ()
    factor: float = Field(default=0.1, gt=0)
    warmup: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check_schedule(self) -> Updates:
        if self.schedule == "step" and not self.steps_at:
            raise ValueError("the schedule step needs epochs in steps_at")
        return self


class Optimiser(Updates):
    """How the weights are updated.

    Attributes
    ----------
    solver_rate, prior_rate : float
        Learning rates of the solver, including the weights of its cost, and of Φ; with rate 0, Φ
        is not trained.
    pretraining_rate : float
        Constant rate of Φ during pretraining.
    """

    solver_rate: Rate = 1e-3
    prior_rate: Rate = 5e-4
    pretraining_rate: Rate = 1e-3


class Run(Section):
    """Length and hardware of any training.

    Attributes
    ----------
    epochs : int
        Number of epochs, including pretraining.
    batch_size : int
        Number of windows of a step of the optimiser.
    patience : int, optional
        Epochs without a better score after which training stops; the count restarts at the end of
        pretraining and at each change of `iterations`.
    averaging : float
        Decay of an average of the weights, which is then validated and stored; 0: no average.
    precision, accelerator, devices, strategy
        See Lightning's Trainer.
    seed : int
        Seed of the initial weights.
    """

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=128, ge=1)
    patience: int | None = Field(default=None, ge=1)
    averaging: float = Field(default=0.0, ge=0, lt=1)
    precision: Literal["32-true", "64-true", "16-mixed", "bf16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: int | Literal["auto"] = 1
    strategy: str = "auto"
    seed: int = Field(default=0, ge=0)


class Training(Run):
    """Length, batches and hardware of a training of a prior and a solver.

    Attributes
    ----------
    pretraining : int
        Number of first epochs in which Φ alone is trained, on true states.
    iterations : mapping of epoch to int
        Solver iterations from each epoch on: `{0: 5, 20: 10, 40: 20}`. The trained model uses those
        of the epoch of its best weights, with which it was scored.
    select : {"r_score", "cost", "ode_score"}, optional
        The validation score that selects the best weights, the lowest being best. Default: the
        R-score, the ODE-score for identification, the cost without a truth.
    checkpoint_every : int
        If positive, only the states between blocks of this many iterations are stored, and each
        block is computed again in the backward pass: less memory, one more forward pass.
    detach_every : int
        If positive, gradients come from the last block of this many iterations only (truncated
        unrolling).
    compile : bool
        Compile the gradient of a cost with a known equation by `torch.compile`, which takes a
        minute and needs a C++ compiler.
    """

    pretraining: int = Field(default=0, ge=0)
    iterations: dict[int, int] = Field(default={0: 20})
    select: Literal["r_score", "cost", "ode_score"] | None = None
    checkpoint_every: int = Field(default=0, ge=0)
    detach_every: int = Field(default=0, ge=0)
    compile: bool = False

    @model_validator(mode="after")
    def _check(self) -> Training:
        epochs = list(self.iterations)
        if not epochs or min(epochs) != 0 or sorted(epochs) != epochs:
            raise ValueError("iterations needs growing epochs from 0 on, such as {0: 5, 20: 20}")
        if min(self.iterations.values()) < 1:
            raise ValueError("iterations must be positive numbers")
        if self.pretraining and self.pretraining >= self.epochs:
            raise ValueError(
                f"all {self.epochs} epochs are pretraining, which trains no solver; epochs counts "
                "those of pretraining, too: raise it"
            )
        return self

    def iterations_at(self, epoch: int) -> int:
        """Return the solver iterations of an epoch.

        >>> Training(iterations={0: 5, 10: 20}).iterations_at(9)
        5
        """
        return [n for first, n in self.iterations.items() if first <= epoch][-1]


class Configuration(Architecture):
    """A whole training."""

    data: AnyData = Data()
    loss: AnyLoss
    optimiser: Optimiser = Optimiser()
    training: Training = Training()

    @model_validator(mode="after")
    def _check(self) -> Configuration:
        if self.loss.kind == "identification" and self.prior.kind in _KNOWN:
            raise ValueError(f"a prior {self.prior.kind} has nothing to identify")
        if self.solver.kind == "shooting" and self.prior.kind not in _KNOWN:
            raise ValueError(
                f"a shooting solver needs a known model, which the prior {self.prior.kind} is not"
            )
        if isinstance(self.data, Files) and self.data.is_of_file():
            self._check_own_model(self.data.model)
        elif self.mirrored and self.data.dynamics().mirror_signs is None:
            raise ValueError(f"the model of {self.data.name()} has no mirror image")
        self._check_known()
        return self

    def _check_own_model(self, model: str) -> None:
        """Refuse what a model in a file cannot have; the file is not run for that."""
        if self.mirrored:
            raise ValueError(f"mirrored needs a model with a mirror image, and {model} states none")
        if self.prior.kind == "bilinear-rk4":
            raise ValueError(
                f"only built-in models have the prior bilinear-rk4, and data.model is {model}; "
                "choose the prior rk4 or genn"
            )
        if is_in_julia(model) and self.prior.kind in _KNOWN:
            raise ValueError(
                f"data.model is {model}, in Julia, and the prior {self.prior.kind} runs the model "
                "in torch; name a model in a Python file (models.py:name), or choose the prior genn"
            )

    def _check_known(self) -> None:
        """Refuse losses and options that need a truth or observations that the data lack."""
        loss, training = self.loss.kind, self.training
        if isinstance(self.data, Data) and self.data.missing and loss == "identification":
            raise ValueError(
                f"data.missing is {self.data.missing}, and the loss identification uses only "
                "states; remove it"
            )
        if not self.data.has_observations() and loss != "identification":
            raise ValueError(
                f"the loss {loss} needs observations, and data has only true states; add "
                "data.observations, or choose the loss identification"
            )
        if self.data.has_truth():
            return
        if loss != "unsupervised":
            raise ValueError(
                f"the loss {loss} needs true states, and data has only observations; add "
                "data.truth, or choose the loss unsupervised"
            )
        if training.pretraining:
            raise ValueError(
                "pretraining needs true states, and data has only observations; add data.truth, "
                "or remove training.pretraining"
            )
        if training.select not in (None, "cost"):
            raise ValueError(
                f"select is {training.select}, which needs true states, and data has only "
                "observations; add data.truth, or select by cost"
            )

    def architecture(self) -> Architecture:
        """Return the architecture of the trained model."""
        return Architecture(
            prior=self.prior, cost=self.cost, solver=self.solver, mirrored=self.mirrored
        )

    def select(self) -> str:
        """Return the name of the score that selects the best weights."""
        if self.training.select is not None:
            return self.training.select
        if self.loss.kind == "identification":
            return "ode_score"
        return "r_score" if self.data.has_truth() else "cost"


def read_configuration(path: str | Path) -> Configuration:
    """Read a YAML training configuration.

    Raises
    ------
    InputError
        The file cannot be read, or a key is unknown, missing or has an invalid value.
    """
    loaded = read_yaml(Path(path), "configuration", "sections such as data and prior")
    return validated(Configuration, loaded, str(path))


class _WithoutDuplicates(yaml.SafeLoader):
    """YAML in which no key occurs twice, of which the last would win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        own = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({one for one in own if own.count(one) > 1 and one != "<<"})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {', '.join(map(str, twice))} occurs twice", node.start_mark
            )
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


def read_yaml(path: Path, kind: str, expected: str) -> dict[str, Any]:
    """Return the mapping in a YAML file; `kind` and `expected` describe it in messages."""
    try:
        loaded = yaml.load(path.read_text("utf-8"), _WithoutDuplicates)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as YAML ({reason}); check the file") from error
    if not isinstance(loaded, dict):
        raise InputError(f"{path} holds no {kind}, expected {expected}")
    return {str(name): value for name, value in loaded.items()}
