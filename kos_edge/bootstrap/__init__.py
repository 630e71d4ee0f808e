"""How two nodes that never met come to share keys, and how a newcomer comes to belong.

Machines and values only: bytes and `now` in, bytes and decisions out. The journey of a handshake:

    suite       what a cipher suite fixes (RFC 9528 section 3.6)
    schedule    the key schedule, the MACs, what is signed and what is encrypted (sections 4 and 5)
    wire        the small parts of messages: identifiers, EAD items, error messages (sections 3.3, 3.8, 6)
    credential  kccs and kcwt: how a key is shown (section 3.5)
    message     message_1 to message_4, read without a key or a state (section 5)
    edhoc       Initiator and Responder
    carriage    what CoAP carries of it (appendix A, RFC 9668): the values that both sides share
    session     the handshake that we begin
    echo        proof of an address, for which nothing is remembered (RFC 9175)
    responders  the handshakes that others begin: a bounded table that gives a stranger as little as possible
    enrolment   what newcomer and hub say to each other inside
    admission   the hub's decision
    quarantine  those who wait for a person

And what stands before all of it:

    manifest    what is installed: a signed list of files
"""
