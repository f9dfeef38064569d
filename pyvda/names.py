"""Names of dimensions and variables in pyvda's files, and their CF attributes.

Everything that reads or writes a file takes its names from here. The `units` of state variables
come from the user's own file; only quantities that pyvda defines have units here.
"""

from enum import IntEnum, IntFlag
from typing import Any

WINDOW = "window"
TIME = "time"
STATE = "state"
PARAMETER = "parameter"
MINIMUM = "minimum"
ITERATION = "iteration"
MEMBER = "member"
# Rows and columns of a covariance, indices of the state vector whatever variables the file has.
STATE_ROW, STATE_COLUMN = "state1", "state2"
DIMENSIONS = (WINDOW, TIME, STATE)

TWIN_TITLE = "twin experiment"  # how the titles of simulated truths and observations start
OPENED = "pyvda_opened"  # key of a Dataset's encoding: how `open_observations` was called
OBSERVATION = "observation"
OBSERVATION_ERROR = "observation_error"
OBSERVATION_ERROR_VARIANCE = "observation_error_variance"  # an attribute of the file
REJECTED = "rejected"  # which observations the file calls bad; see io/quality/bad_data.py
TRUTH = "truth"
WINDOW_START = "window_start"
WINDOW_NUMBER = "window_number"  # of the window that a step of a series was taken from

# Point observations, at arbitrary times; see io/tables/point_observations.py.
DATUM = "datum"
POINT_TIME = "point_time"
POINT_OBSERVATION = "point_observation"
POINT_OPERATOR = "point_operator"
POINT_COMPONENT = "point_component"
POINT_COEFFICIENT = "point_coefficient"
TERM = "term"
POINT_ERROR = "point_error"
POINT_POSITION = "point_position"
POINT_INNOVATION = "point_innovation"
POINT_REJECTED = "point_rejected"
POINT_FLAG = "point_flag"
POINTS = (POINT_TIME, POINT_OBSERVATION, POINT_OPERATOR, POINT_COMPONENT, POINT_COEFFICIENT,
          POINT_ERROR, POINT_REJECTED, POINT_POSITION)  # fmt: skip

# Observations that are a function of the state; see io/tables/channels.py.
CHANNEL = "channel"
CHANNEL_OBSERVATION = "channel_observation"
# Observations that are not of components at the analysis times.
OTHER_OBSERVATIONS = (POINT_OBSERVATION, CHANNEL_OBSERVATION)
CHANNEL_ERROR = "channel_error"
CHANNEL_INNOVATION = "channel_innovation"
CHANNELS = (CHANNEL_OBSERVATION, CHANNEL_ERROR)

ANALYSIS = "analysis"
BACKGROUND = "background"
FORECAST = "forecast"
INNOVATION = "innovation"
STATE_STDEV = "state_stdev"
FLAG = "flag"
FIELD_FLAG = "field_flag"
DISTANCE = "distance"
LAG = "lag"
COST = "cost"
COST_OBSERVATION = "cost_observation"
COST_DYNAMICS = "cost_dynamics"
GRADIENT_NORM = "gradient_norm"
STATUS = "status"
DOUBTS = "doubts"
FIT = "fit"
ITERATIONS = "iterations"
OBJECTIVE = "objective"
MISFIT = "misfit"
CHI_SQUARE = "chi_square"
CHI_SQUARE_LIMIT = "chi_square_limit"
EFFECTIVE_SAMPLE_SIZE = "effective_sample_size"
PARAMETER_ANALYSIS = "parameter_analysis"
PARAMETER_STDEV = "parameter_stdev"
PARAMETER_OUTPUTS = (PARAMETER_ANALYSIS, PARAMETER_STDEV)
MINIMUM_OBJECTIVE = "minimum_objective"
MINIMUM_STATE = "minimum_state"
MINIMUM_OUTPUTS = (MINIMUM_OBJECTIVE, MINIMUM_STATE)
FINAL_COVARIANCE = "final_covariance"
FINAL_ENSEMBLE = "final_ensemble"
OUTPUT_DIMENSIONS = {  # after the window dimension
    FINAL_COVARIANCE: (STATE_ROW, STATE_COLUMN),
    FINAL_ENSEMBLE: (MEMBER, STATE_COLUMN),
    PARAMETER_ANALYSIS: (PARAMETER,),
    PARAMETER_STDEV: (PARAMETER,),
    MINIMUM_OBJECTIVE: (MINIMUM,),
    MINIMUM_STATE: (MINIMUM, STATE),
}

HISTORY_COST = "history_cost"
HISTORY_GRADIENT_NORM = "history_gradient_norm"
HISTORY_R_SCORE = "history_r_score"


class Flag(IntEnum):
    """Origin of the analysis of one component at one step."""

    GAP = 0
    OBSERVED = 1
    EDGE = 2
    LAND = 3
    REJECTED = 4


class FieldFlag(IntEnum):
    """Origin of the analysis of a field without a model at a point and time."""

    GAP = 0
    OBSERVED = 1
    LAND = 3
    REJECTED = 4
    WITHHELD = 5
    NEVER_OBSERVED = 6


class Status(IntEnum):
    """Outcome of the assimilation of one window."""

    CONVERGED = 0
    ITERATION_LIMIT = 1
    NO_OBSERVATIONS = 2
    DIVERGED = 3
    DOUBTFUL = 4
    AMBIGUOUS = 5


class Doubt(IntFlag):
    """Why the analysis of a window is in doubt, perhaps for several reasons: `pyvda.judgements`."""

    MISFIT_LARGE = 1
    MISFIT_SMALL = 2
    OTHER_STATES = 4
    EQUAL_VALUES = 8
    EQUAL_SIGNS = 16
    FEW_SAMPLES = 32
    SPREAD_LIMITED = 64
    OTHER_PATTERN = 128
    WHOLE_FILE = 256


def flag_attributes(flags: type[IntEnum] | type[IntFlag]) -> dict[str, Any]:
    """Return the CF attributes of an enumeration: `flag_values` or `flag_masks`, `flag_meanings`.

    >>> flag_attributes(Flag)["flag_meanings"]
    'gap observed edge land rejected'
    >>> flag_attributes(Doubt)["flag_masks"].tolist()[:4]
    [1, 2, 4, 8]
    """
    import numpy as np

    if issubclass(flags, IntFlag):
        return {
            "flag_masks": np.array([member.value for member in flags], dtype=np.int16),
            "flag_meanings": " ".join(str(member.name).lower() for member in flags),
        }
    return {
        "flag_values": np.array([member.value for member in flags], dtype=np.int8),
        "flag_meanings": " ".join(member.name.lower() for member in flags),
    }


# Attributes of files, as the documentation explains them.
ATTRIBUTES = {
    "Conventions": "the version of CF",
    "history": "the command or call, after those of the input",
    "title": "what the file is, in one line",
    "model": "name of the model (truths and observations of a twin experiment)",
    "parameters": "parameters of the model",
    "seed": "seed of the truth's random numbers",
    "preset": "name of the settings by which a truth was observed",
    "observation_seed": "seed of the observations' random numbers",
    OBSERVATION_ERROR_VARIANCE: "R, where all observations have the same",
    "pyvda_configuration": "JSON: method, options and the run that `pyvda rerun` repeats",
    "pyvda_version": "version of pyvda",
    "pyvda_engine": "the engine that computed, with its version",
    "pyvda_report": "the judgements on the file as a whole, in words",
    "pyvda_checkpoint_sha256": "digest of the weights of a learned model",
    "pyvda_warm_start": "the learned model from whose analysis the method started",
    "pyvda_pattern_difference": "how observations differ from a learned model's training",
    "pyvda_observation_variance": "R as it was estimated, as JSON",
    "pyvda_observation_bias": "mean errors of the observations as they were estimated, as JSON",
    "pyvda_background_scale": "factor of B as it was estimated",
    "pyvda_gross_errors": "share and size of gross errors as they were estimated, as JSON",
    "pyvda_forecast_parameters": "parameters in which a forecast's model differs",
    "pyvda_land": "how many points of a field are land, and how they were found",
    "pyvda_state": "JSON: how named variables stand in the state, where a file has them as one",
    "pyvda_covariance": "version of the layout of a file of a covariance",
}

_LONG_NAMES = {
    WINDOW: "number of the window",
    STATE: "number of the component of the state",
    OBSERVATION: "observed state",
    OBSERVATION_ERROR: "standard deviation of the observation error",
    REJECTED: "why an observation is not used",
    TRUTH: "true state of a twin experiment",
    POINT_OBSERVATION: "observed value",
    POINT_OPERATOR: "row of the linear observation operator",
    POINT_COMPONENT: "components of the state in a row of the observation operator",
    POINT_COEFFICIENT: "coefficients of these components",
    POINT_REJECTED: "whether the observation is not used",
    POINT_FLAG: "use of the observation",
    POINT_ERROR: "standard deviation of the observation error",
    POINT_INNOVATION: "observation minus analysis",
    CHANNEL_OBSERVATION: "observed function of the state",
    CHANNEL_ERROR: "standard deviation of the observation error",
    CHANNEL_INNOVATION: "observation minus function of the analysis",
    WINDOW_START: "index in the series of the first step of the window",
    WINDOW_NUMBER: "index of the window that the step was taken from",
    ANALYSIS: "analysed state",
    BACKGROUND: "forecast from the background of the window",
    FORECAST: "forecast state",
    INNOVATION: "observation minus analysis",
    STATE_STDEV: "standard deviation of the error of the analysis",
    FLAG: "origin of the analysis of a component at a step",
    FIELD_FLAG: "origin of the analysis at a point and time",
    DISTANCE: "distance to the datum with the largest covariance",
    LAG: "time of the datum with the largest covariance after that of the analysis",
    COST: "variational cost of the analysis",
    COST_OBSERVATION: "observation term of the cost",
    COST_DYNAMICS: "dynamical term of the cost",
    GRADIENT_NORM: "Euclidean norm of the gradient of the cost",
    STATUS: "outcome of the assimilation of the window",
    DOUBTS: "why the analysis of the window is in doubt",
    FIT: "squared innovations, or twice the objective, over their expected value",
    ITERATIONS: "number of iterations",
    OBJECTIVE: "minimised negative log density of the analysis, up to a constant",
    MISFIT: "half the sum of squared innovations in units of the observation errors",
    CHI_SQUARE: "twice the objective by the number of data, about 1 where B and R are right",
    CHI_SQUARE_LIMIT: "objective, or misfit, above which the window is doubtful",
    EFFECTIVE_SAMPLE_SIZE: "number of equally weighted samples with the same information",
    PARAMETER: "parameter of the model",
    PARAMETER_ANALYSIS: "analysed parameters of the model",
    PARAMETER_STDEV: "standard deviation of the error of the analysed parameters",
    MINIMUM_OBJECTIVE: "objective at each distinct minimum, in increasing order",
    MINIMUM_STATE: "state at the window's first step at each distinct minimum",
    FINAL_COVARIANCE: "covariance of the error of the analysis at the last step of the window",
    FINAL_ENSEMBLE: "ensemble at the last step of the window",
    ITERATION: "iteration",
    HISTORY_COST: "cost along the iterations, mean over windows",
    HISTORY_GRADIENT_NORM: "gradient norm along the iterations, mean over windows",
    HISTORY_R_SCORE: "R-score along the iterations, mean over windows",
}
_DIMENSIONLESS = (WINDOW, STATE, WINDOW_START, WINDOW_NUMBER, ITERATIONS, ITERATION, OBJECTIVE,
                  MISFIT, CHI_SQUARE, CHI_SQUARE_LIMIT, EFFECTIVE_SAMPLE_SIZE, MINIMUM_OBJECTIVE,
                  FIT, *PARAMETER_OUTPUTS)  # fmt: skip

_OWN_UNITS = {LAG: "days"}

# The weights of the cost are dimensionless, so its units are those of the state squared.
_SQUARED = (COST, COST_OBSERVATION, COST_DYNAMICS, HISTORY_COST, HISTORY_R_SCORE,
            FINAL_COVARIANCE)  # fmt: skip
_LIKE_STATE = (GRADIENT_NORM, HISTORY_GRADIENT_NORM, MINIMUM_STATE, FINAL_ENSEMBLE)

# Variables of an analysis, whose names no coordinate of the observations may have.
OUTPUTS = frozenset(_LONG_NAMES) - {
    WINDOW, STATE, OBSERVATION, OBSERVATION_ERROR, REJECTED, TRUTH, WINDOW_START, WINDOW_NUMBER,
    *POINTS, *CHANNELS,
}  # fmt: skip


def attributes(name: str, state_units: str | None = None) -> dict[str, Any]:
    """Return a new dictionary of the CF attributes of pyvda's variable `name`, else an empty one.

    If the units of the state are given, costs and the norms of their gradients have units, too.

    >>> attributes("cost", "m s-1")["units"]
    '(m s-1)2'
    >>> attributes("innovation")
    {'long_name': 'observation minus analysis'}
    """
    found: dict[str, Any] = {}
    if name in _LONG_NAMES:
        found["long_name"] = _LONG_NAMES[name]
    if name in _DIMENSIONLESS:
        found["units"] = "1"
    if state_units is not None and name in _LIKE_STATE:
        found["units"] = state_units
    if state_units is not None and name in _SQUARED:
        found["units"] = state_units if state_units == "1" else f"({state_units})2"
    if name in (FLAG, POINT_FLAG):
        found |= {"standard_name": "status_flag", **flag_attributes(Flag)}
    if name == FIELD_FLAG:
        found |= {"standard_name": "status_flag", **flag_attributes(FieldFlag)}
    if name in _OWN_UNITS:
        found["units"] = _OWN_UNITS[name]
    if name == STATUS:
        found |= {"standard_name": "status_flag", **flag_attributes(Status)}
    if name == DOUBTS:
        found |= {"standard_name": "status_flag", **flag_attributes(Doubt)}
    return found
