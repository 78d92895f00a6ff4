"""Measurements, each runnable by one command; speed is a ratio within one run."""
