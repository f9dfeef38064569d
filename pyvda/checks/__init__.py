"""What `pyvda.checks.run` is made of.

`derivatives` measures, `derivative_check` judges by a tolerance, the files `on_...` say of which
functions, `windows` on which observations.
"""
