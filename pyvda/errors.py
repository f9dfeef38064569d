"""Errors with one-line messages, which the command line prints without a traceback."""


class InputError(ValueError):
    """Invalid input (exit code 2).

    The message is one sentence: what was found, what was expected, and the remedy.

    Examples
    --------
    >>> import pyvda
    >>> try:
    ...     pyvda.get_model("lorenz64")
    ... except InputError as error:
    ...     print(error)
    unknown model ...
    """


class EngineError(RuntimeError):
    """The numerical engine could not be started or failed (exit code 1).

    Examples
    --------
    >>> import pyvda
    >>> try:
    ...     engine = pyvda.get_engine("julia")
    ... except pyvda.EngineError:  # no Julia can start
    ...     engine = pyvda.get_engine("torch")
    """


class TrainingError(RuntimeError):
    """A training run cannot continue: its loss or gradient is not finite (exit code 1)."""
