"""`make deb`: the Debian package, for this machine's architecture or another one."""
