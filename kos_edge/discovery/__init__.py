"""Where peers may be: multicast DNS on every link, and addresses given by hand or by a token.

What comes from here is hearsay. An address is a place to knock at; who answers is decided by the handshake
alone.
"""
