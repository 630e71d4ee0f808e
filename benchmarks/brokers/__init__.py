"""The brokers that people use today, as real processes beside ours: mosquitto, and NATS with JetStream.

`programs` finds and installs them, `server` runs one process, `mosquitto` and `jetstream` know their settings and
speak to them through paho-mqtt and nats-py. `make faults` and `make bench` stand on this; neither uses a service of
the system, and nothing runs on afterwards.
"""
