"""Errors a user can mend: the command line prints them in one sentence and exits with code 2."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that says what was found, what was expected, and the remedy.
    """


class EngineError(RuntimeError):
    """The numerical engine could not be started, or failed while it ran."""


class TrainingError(RuntimeError):
    """A training cannot go on: its loss or gradient is not finite."""
