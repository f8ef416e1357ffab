"""Every limit of a link, with its unit and its reason.

The defaults are the published limits. A node's configuration may lower or raise those that
depend on where it runs; a devnet, whose nodes share one address, allows more sockets an address.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2p.wire import MIB

READ_BYTES = 64 * 1024
"""Read at once from one link: about 400 votes, so that one peer cannot hold the loop."""
DELIVER_SLICE_S = 0.002
"""Of handling one link's frames before the others have their turn."""
WRITE_BATCH_BYTES = 64 * 1024
"""Joined into one write: larger batches gain nothing, and a vote would wait behind them."""
WRITE_BUFFER_BYTES = 64 * 1024
"""Handed to the transport ahead of the network; what lies there has lost its priority."""
CLOSE_S = 1.0
"""For the farewell of TLS; after it the socket is dropped."""
LISTEN_BACKLOG = 128
"""Connections that the kernel holds until they are accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """What a link may cost and how long it may take. Seconds and bytes."""

    unauthenticated_max: int = 64
    """Accepted sockets whose handshake is not over: bounds what strangers can hold."""
    unauthenticated_per_address_max: int = 8
    """Of these, from one address, or one network of IPv6."""
    sync_links_max: int = 32
    """Links outside the validator set, served from what the others leave."""
    handshake_s: float = 5.0
    """For TCP (when dialling), TLS and HELLO together."""
    alive_s: float = 5.0
    """Who was heard within this is alive (a validator's STATUS comes each second), and another
    process with its key is refused."""
    idle_s: float = 60.0
    """Without a byte from the peer the link is dead: four PINGs are missing."""
    ping_s: float = 15.0
    """A link that wrote nothing for so long writes a PING."""
    write_s: float = 10.0
    """A peer that does not take what was written to it is closed."""
    tick_s: float = 1.0
    """How often the three above are looked at, for all links in one go."""
    queue_bytes_max: int = 8 * MIB
    """Waiting to be written to one peer, all classes together."""
    redial_min_s: float = 0.1
    """First wait before dialling again; doubles with each failure."""
    redial_max_s: float = 10.0
    """Longest wait: a peer that comes back is met again within this time."""
    hold_off_s: float = 10.0
    """A validator whose link was ended for what it sent is refused for so long."""
