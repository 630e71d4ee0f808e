"""CoAP with OSCORE over datagrams and streams, closed by construction.

`Endpoint` is the door: KLP travels only as a method of a `Session`, and a session exists only from keys that
a handshake agreed on. What arrives unprotected reaches `/.well-known/core` and `/.well-known/edhoc`, and
nothing else.
"""
