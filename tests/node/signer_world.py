"""A signer on disk for tests: its directory, and a thread that serves it on a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.crypto import SigningKey
from node import keys, signer
from node.signer import Beginning, Signer, SignerServer

CHAIN = bytes([7]) * 32
SEED = bytes(range(32))
PUBLIC = SigningKey(SEED).public
NEW = Beginning(None, CHAIN)
JOIN_S = 10.0


def directory_in(path: Path) -> Path:
    """A signer's directory with a key and no memory."""
    path.mkdir(mode=0o700)
    keys.save_consensus_key(path / signer.KEY_NAME, SEED, note="test")
    return path


@contextmanager
def serving(opened: Signer, path: Path) -> Iterator[None]:
    """Serve in a thread until the block ends."""
    listener = signer.listen(path)
    stop, stopping = socket.socketpair()
    server = SignerServer(opened, listener)
    thread = threading.Thread(target=server.serve, args=(stopping,))
    thread.start()
    try:
        yield
    finally:
        stop.close()
        thread.join(JOIN_S)
        assert not thread.is_alive()
        stopping.close()
        listener.close()
        path.unlink()
