"""KLP, the Kind Link Protocol: signed CBOR messages as bytes and values. Normative: docs/protocol/klp.md."""
