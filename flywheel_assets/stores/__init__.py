"""Where things are kept: the home folder, Delta tables, sources, MLflow models."""
