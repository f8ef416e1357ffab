"""Agents: what issuers and attestors of a devnet do by themselves, so that capacity stays fresh."""
