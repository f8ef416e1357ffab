"""Runs `marsa` with a rule broken in this process: broken_node.py RULE node run DIRECTORY."""

from __future__ import annotations

import sys
from collections.abc import Callable

import msgspec

from node.api import schemas, transactions
from node.api.services import Services


def answer_early() -> None:
    """What is pending is called final, as if this node alone could decide."""
    right = transactions._status

    def status(services: Services, txid: bytes, *, with_proof: bool) -> schemas.TransactionStatus:
        found = right(services, txid, with_proof=with_proof)
        if found.status != "pending":
            return found
        height = services.chain.height + 1
        return msgspec.structs.replace(found, status="final", height=height)

    transactions._status = status


RULES: dict[str, Callable[[], None]] = {"answer-early": answer_early}

if __name__ == "__main__":
    RULES[sys.argv.pop(1)]()
    from cli.main import main

    main()
