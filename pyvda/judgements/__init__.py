"""Judgements of an analysis: of each window, and of the file as a whole.

A method minimises, and its χ² limit flags windows that it cannot fit. What a fit does not show is
judged here, after the method and from its result: other states that fit as well (`alternatives`),
a spread that no climatology has (`spread`), innovations that no independent errors have
(`innovations`), and a file whose statistics are wrong as a whole (`report`). `judge` brings the
judgements of a window together: `names.Doubt` says which failed, and the status follows from it.
"""
