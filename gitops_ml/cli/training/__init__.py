"""Commands about data and training: `data`, `diff`, `retrain` and `trace`."""
