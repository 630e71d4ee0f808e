"""The author's API, and what runs it: see docs/agents.md."""
