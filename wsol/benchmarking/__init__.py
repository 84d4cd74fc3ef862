"""Benchmarks: several models on one data set, trained where an experiment says so, and compared."""
