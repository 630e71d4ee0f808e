"""What the decision records measure: run one with `python -m benchmarks.NAME`."""
