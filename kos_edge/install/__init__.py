"""The program on a machine: its releases, what lies beside them in the system, and the way from one to the next."""
