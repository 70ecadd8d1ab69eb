"""Benchmarks: two protocols, one harness. Predictions in, Scores and tables out."""
