"""User input to a Dataset: files, stores, URLs, groups, many files, arrays and tables."""
