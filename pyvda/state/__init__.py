"""From labelled Datasets to windows and plain arrays, and back."""
