"""TLS contexts, driven in memory: what the two ends show and what each refuses."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from p2p.tls import LicenceFiles, client_context, server_context
from tests.p2p.harness import Authority


def shake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a handshake over memory, the server's first; ssl.SSLError when it fails."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (near, far, near, far):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    far.do_handshake()
    return far, near


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def contexts(
    authority: Authority, client: LicenceFiles | None
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = server_context(authority.path, authority.licence("val0"))
    return server, client_context(authority.path, client)


def test_both_show_their_licence(authority: Authority) -> None:
    """TLS 1.3, each end holds the other's certificate, nothing is compressed or resumable."""
    server, client = contexts(authority, authority.licence("val1"))
    far, near = shake(server, client)
    assert far.version() == near.version() == "TLSv1.3"
    for end in (far, near):
        certificate = end.getpeercert(binary_form=True)
        assert certificate is not None
        assert end.compression() is None
    assert not far.session_reused
    assert server.num_tickets == 0


def test_an_observer_shows_nothing(authority: Authority) -> None:
    """Without a certificate the handshake succeeds and the server sees none."""
    far, near = shake(*contexts(authority, None))
    assert far.getpeercert(binary_form=True) is None
    assert near.getpeercert(binary_form=True) is not None


@pytest.mark.parametrize("year", [2001, 2901], ids=["expired", "not-yet-valid"])
def test_dates_are_not_looked_at(authority: Authority, year: int) -> None:
    """Certificates outside their dates work on both ends."""
    dates = {
        "valid_from": datetime(year, 1, 1, tzinfo=UTC),
        "valid_until": datetime(year, 2, 1, tzinfo=UTC),
    }
    server = server_context(authority.path, authority.licence("val0", **dates))
    far, _ = shake(server, client_context(authority.path, authority.licence("val1", **dates)))
    assert far.getpeercert(binary_form=True) is not None


def test_another_authority_is_refused_on_either_end(authority: Authority, tmp_path: Path) -> None:
    """A licence of a foreign authority fails as the client's and as the server's."""
    foreign = Authority(tmp_path, "foreign")
    with pytest.raises(ssl.SSLError):
        shake(*contexts(authority, foreign.licence("val1")))
    server = server_context(foreign.path, foreign.licence("val0"))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server, client_context(authority.path, None))


def test_a_licence_cannot_sign_another(authority: Authority, tmp_path: Path) -> None:
    """A validator that acts as an authority of its own, below the real one, is refused."""
    rogue = Authority(tmp_path, "val1")
    chained = rogue.licence("val2")
    pem = chained.certificate.read_bytes() + authority.licence("val1").certificate.read_bytes()
    chained.certificate.write_bytes(pem)
    with pytest.raises(ssl.SSLError):
        shake(*contexts(authority, chained))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2], ids=["TLS 1.2"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_versions_are_refused(authority: Authority, version: ssl.TLSVersion) -> None:
    """A client that cannot speak 1.3 gets no session."""
    server, client = contexts(authority, None)
    client.minimum_version = version
    client.maximum_version = version
    with pytest.raises(ssl.SSLError):
        shake(server, client)


def test_missing_and_mixed_files_are_errors_of_this_machine(authority: Authority) -> None:
    """A missing file and a key that is another certificate's raise OSError at start."""
    files = authority.licence("val0")
    other = authority.licence("val1")
    with pytest.raises(OSError):
        server_context(authority.path, LicenceFiles(files.certificate, other.link_key))
    with pytest.raises(FileNotFoundError):
        client_context(authority.path.with_name("none.pem"), None)
