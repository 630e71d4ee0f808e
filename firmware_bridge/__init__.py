"""The wire between a Raspberry Pi and the microcontrollers hanging off it.

Knows frames and links, nothing of KLP, and imports nothing of `kos_edge`.
"""
