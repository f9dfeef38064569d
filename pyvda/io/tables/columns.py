"""Names that columns of a table may have, where CF attributes do not say what they are."""

# When a datum was observed.
TIMES = ("time", "t", "date", "datetime", "timestamp", "valid_time", "when")
# What was observed: the name or the number of a component of the state.
LABELS = ("component", "variable", "state")
# The observed value.
VALUES = ("observation", "value", "obs")
# The standard deviation or the variance of its error.
ERRORS = ("observation_error", "error", "value_error", "sigma", "std", "stdev", "stddev",
          "uncertainty", "error_variance", "variance")  # fmt: skip
