"""One short script per lecture example."""
