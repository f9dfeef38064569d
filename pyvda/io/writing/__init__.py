"""Analyses and other Datasets to files: contents, attributes, encodings, atomic writes."""
