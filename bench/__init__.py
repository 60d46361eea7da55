"""Benchmarks. `python -m bench.run` runs all; see README.md."""
