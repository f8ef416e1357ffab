"""A validator that comes back from a backup: it waits, says why, and never contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.cluster import Cluster, until
from tests.functional.test_key_safety import (
    VICTIM,
    assert_no_evidence,
    assert_one_vote_a_slot,
    consensus_of,
    follows,
    recovers,
    votes_in,
)

pytestmark = pytest.mark.functional

INDEX = 3


def back_from_backup(cluster: Cluster) -> Path:
    """The victim is copied, votes on, dies, and is started from the copy: its last directory."""
    cluster.up()
    directory, file = cluster.node_dir(VICTIM), cluster.home / "val3.backup"

    def has_voted() -> bool:
        cluster.send("1", "alice", "bob")
        return bool(votes_in(directory))

    until(has_voted, "a vote of the victim")
    running = cluster.marsa("node", "backup", directory, file, "--json", code=9).error
    assert running["code"] == "directory_in_use"
    assert not file.exists()
    cluster.marsa("devnet", "kill", VICTIM)
    made = cluster.marsa("node", "backup", directory, file, "--json").json
    assert made["height"] > 0
    assert file.stat().st_mode & 0o777 == 0o600
    again = cluster.marsa("node", "backup", directory, file, "--json", code=2).error
    assert again["code"] == "file_exists"
    cluster.marsa("devnet", "restart", VICTIM)
    until(lambda: cluster.nodes()[VICTIM]["state"] in ("voting", "primary"), "it votes")
    before = votes_in(directory)
    until(lambda: cluster.send("1", "alice", "bob") and votes_in(directory) != before, "votes on")
    cluster.marsa("devnet", "kill", VICTIM)
    restore = ("node", "restore", file, directory, "--json")
    assert cluster.marsa(*restore, code=2).error["code"] == "directory_not_empty"
    last = cluster.home / "last"
    directory.rename(last)
    data = file.read_bytes()
    file.write_bytes(data[:-100])
    assert cluster.marsa(*restore, code=9).error["code"] == "bad_backup"
    assert not directory.exists()
    file.write_bytes(data)
    restored = cluster.marsa(*restore).json
    assert (restored["height"], restored["votes"]) == (made["height"], False)
    cluster.marsa("devnet", "restart", VICTIM, code=9)
    return last


def test_restored_node_waits_until_recover(cluster: Cluster) -> None:
    """It catches up and does not vote while the others go on; `recover` makes it vote, above all
    that its key signed before."""
    last = back_from_backup(cluster)
    follows(cluster, "restore from a backup")
    for _ in range(3):
        assert cluster.send("1", "alice", "bob")["status"] == "final"
    assert votes_in(cluster.node_dir(VICTIM)) == []
    recovers(cluster)
    until(lambda: votes_in(cluster.node_dir(VICTIM)), "a vote after recover")
    assert_one_vote_a_slot(last, cluster.node_dir(VICTIM))
    assert_no_evidence(cluster)


def test_restored_node_votes_after_two_epochs(cluster: Cluster) -> None:
    """Without a word of its operator: what a lost log held cannot be asked for any more."""
    last = back_from_backup(cluster)
    follows(cluster, "restore from a backup")
    until(lambda: " or epoch " in consensus_of(cluster, INDEX)["reason"], "it knows until when")
    for _ in range(2):
        assert not consensus_of(cluster, INDEX)["is_voting"]
        cluster.marsa("validator", "end-epoch")
    until(lambda: consensus_of(cluster, INDEX)["is_voting"], "it votes by itself")
    assert_one_vote_a_slot(last, cluster.node_dir(VICTIM))
    assert_no_evidence(cluster)
