"""How the command line, a dashboard and tests reach a daemon: a socket in its state directory."""
