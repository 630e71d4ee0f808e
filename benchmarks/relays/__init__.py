"""What lies between two programs in a measurement: relays that lose, delay and cut, as a seed says.

The machines that this is built on have no `tc netem`. `udp` is a process of its own, for datagrams; `tcp` runs in a
thread and is cut and mended by whoever plays a script to it.
"""
