"""Bytes and peers: framing, TLS, handshake, links. Knows message numbers, not meanings."""
