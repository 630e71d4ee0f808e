"""Who is who in a mesh, and who may do what: memberships, invitations, revocations, policy.

Values and machines only: no file, no socket, no clock of their own. `docs/protocol/membership.md` is the
normative text.
"""
