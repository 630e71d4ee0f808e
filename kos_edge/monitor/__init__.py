"""Watching a node from outside: figures for Prometheus, over HTTP."""
