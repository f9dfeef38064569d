"""Checks of derivatives; `pyvda.checks.run` is the entry point.

`derivatives` measures errors, `derivative_check` compares them with a tolerance, the files `on_...`
select the functions to check, and `target` and `windows` select the model and the observations.
"""
