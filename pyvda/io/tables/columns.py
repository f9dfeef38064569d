"""Names that columns of a table may have, where CF attributes do not say what they are.

Those of errors are in `pyvda.io.quality.error_variables`.
"""

# When a datum was observed.
TIMES = ("time", "t", "date", "datetime", "timestamp", "valid_time", "when")
# What was observed: the name or the number of a component of the state.
LABELS = ("component", "variable", "state")
# The observed value.
VALUES = ("observation", "value", "obs")
# What stands in place of a number that is missing, beside what pandas takes for it.
MISSING = ("MM", "-", "--", "---", "*", "**", "***", "****", "?", "missing", "Missing", "MISSING",
           "none", "NONE", "NIL", "nil", "nd", "ND", "NAN", "")  # fmt: skip
