"""`make bench`: the table of figures that we promise (`rows.py`), and what the decision records measure.

Run a record's own with `python -m benchmarks.NAME`.
"""
