"""Networks that fill fields with gaps, trained on the user's own file.

    field ─ draws ▶ samples ─ networks ▶ estimates ─ tiles ▶ whole domain

`configuration` is what `pyvda train` reads, `train` runs it, `model` is the result on the disk, and
`method` uses it, as a method for fields beside `oi` and `eof`. Optimal interpolation is the first
guess everywhere: networks learn a correction of its estimate and of its error.
"""
