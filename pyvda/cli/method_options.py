"""Options of methods that the command line names; all others are given by `--set name=value`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class MethodOptions(BaseModel):
    """Options that several methods have; the method's own class validates them.

    What a word of the command line may also stand for (a file, `estimate`) is text here.
    """

    model_config = ConfigDict(
        defer_build=True
    )  # its fields are read, and nothing is validated by it

    iterations: int | None = Field(None, description="Maximum number of iterations of a window.")
    tolerance: float | None = Field(
        None, description="Stop a window at this fraction of its first gradient norm."
    )
    precision: str | None = Field(
        None, description="float64 or float32. Default: float64; of learned models float32."
    )
    observation_variance: str | None = Field(
        None,
        description="R of a datum with weight 1, in the state's units squared; estimate, "
        "estimate-components or estimate-variables: from the observations. Default: the file's.",
    )
    background: str | None = Field(
        None,
        description="What is known of the first state: climatology, none, an analysis made with "
        "final_covariance or final_ensemble, or a NumPy file with mean and covariance.",
    )
    covariance: str | None = Field(
        None,
        description="Covariance of the background's error: a number, or a file of pyvda "
        "covariance; estimate: that of the background times a factor from the observations; of a "
        "field without a model (oi): fit, or a file (YAML).",
    )
    transform: str | None = Field(
        None, description="log10 or log: estimate the logarithm, with a method without a model."
    )
    grid: str | None = Field(
        None,
        description="Where data at points are estimated (oi): a file with latitude and longitude, "
        "or lon0:lon1:step,lat0:lat1:step.",
    )
    times: str | None = Field(
        None,
        description="When data at points are estimated: first/last/step, such as "
        "2014-05-20/2014-06-01/1d. Default: the times of the grid's file, else every noon.",
    )
    points: list[str] | None = Field(
        None, description="Data at points to use beside those of a field (oi); may be repeated."
    )
    memory: float | None = Field(
        None,
        description="GiB for a window beside the file, with incremental. Default: 4.",
        json_schema_extra={"metavar": "GIB"},
    )
