"""Secrets at rest: passwords and keys of other systems that agents need, never in the configuration."""
