"""`marsa wallet`: make, restore and keep wallets. Nothing here talks to a node.

The 24 words are the wallet. They are shown on a terminal alone, once, or written to a 0600 file
that was asked for; never on standard output, which ends in logs and pipes.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.base import Group, Number, examples
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.home import checked_name, read_private, write_private
from cli.output import emit, is_interactive, note, table
from cli.passwords import password_options, read_password
from cli.units import counted

if TYPE_CHECKING:
    from cli.wallet.store import Wallet

NETWORKS = ("main", "test", "devnet")
IMPORT_ADDRESSES_MAX = 100
WORDS_ASKED_BACK = 3
ATTEMPTS_MAX = 3

_TABLE = {
    "balance": ("cli.wallet_queries:balance", "Coins held, issuer by issuer."),
    "coins": ("cli.wallet_queries:coins", "Unspent coins, one by one."),
    "history": ("cli.wallet_queries:history", "Transactions that moved its coins."),
    "merge": ("cli.wallet_merge:merge", "Turn many small coins of one issuer into one."),
    "sign-message": ("cli.wallet_messages:sign_message", "Prove that an address is yours."),
    "verify-message": ("cli.wallet_messages:verify_message", "Check such a proof."),
}


@click.command(
    "wallet",
    cls=Group,
    table=_TABLE,
    help=f"""{examples("marsa wallet new savings", "marsa wallet balance alice")}

Keys, addresses, coins and signed messages.
""",
)
def wallet() -> None:
    """Group of commands."""


network_option = click.option(
    "--network",
    type=click.Choice(NETWORKS),
    default="devnet",
    show_default=True,
    help="How addresses begin: mrs1 on main, mrst1 elsewhere.",
)
words_option = click.option(
    "--words-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The 24 words in a file that only you may read.",
)


@wallet.command(
    "new",
    short_help="Make a wallet and show its 24 words once.",
    help=f"""{
        examples(
            "marsa wallet new savings",
            "marsa wallet new ci --password-file pw.txt --words-file words.txt --json",
        )
    }

Make a wallet. On a terminal its 24 words are shown once and three of them asked back; without a
terminal nothing is asked or shown, and --words-file writes them to a 0600 file.
""",
)
@click.argument("name")
@words_option
@network_option
@password_options
def new(
    name: str,
    words_file: Path | None,
    network: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """The file is written last: an interrupted start leaves nothing."""
    from cli.wallet import store
    from cli.wallet.mnemonic import ENTROPY_BYTES, to_words

    _check_free(name)
    password = read_password(name, password_fd, password_file, is_new=True)
    entropy = secrets.token_bytes(ENTROPY_BYTES)
    if words_file is not None:
        _write_words(words_file, to_words(entropy))
    elif is_interactive():
        _show_words(to_words(entropy))
        _ask_back(to_words(entropy))
    made = store.create(name, entropy, password)
    if words_file is None and not is_interactive():
        note(f"the words were not shown: marsa wallet backup {name} --words-file FILE")
    _emit_wallet("marsa.wallet.new/1", made, network)


@wallet.command(
    "import",
    short_help="Restore a wallet from its 24 words.",
    help=f"""{
        examples(
            "marsa wallet import savings",
            "marsa wallet import ci --words-file words.txt --password-file pw.txt --addresses 5",
        )
    }

Restore a wallet from its 24 words, typed at the prompt or read from a 0600 file.
""",
)
@click.argument("name")
@words_option
@click.option(
    "--addresses",
    type=Number(1, IMPORT_ADDRESSES_MAX),
    default=1,
    show_default=True,
    help="How many addresses the wallet had.",
)
@network_option
@password_options
def import_words(
    name: str,
    words_file: Path | None,
    addresses: int,
    network: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """Words first: a typing mistake is found before a password is made up."""
    from cli.wallet import store
    from cli.wallet.mnemonic import to_entropy

    _check_free(name)
    entropy = to_entropy(_read_words(words_file))
    password = read_password(name, password_fd, password_file, is_new=True)
    restored = store.create(name, entropy, password, count=addresses)
    _emit_wallet("marsa.wallet.import/1", restored, network)


@wallet.command(
    "list",
    short_help="Wallets and public test accounts on this machine.",
    help=f"""{examples("marsa wallet list", "marsa wallet list --json")}

List wallets, and the accounts of devnets, whose keys are public.
""",
)
@network_option
def list_wallets(network: str) -> None:
    """No password needed."""
    from cli import accounts
    from cli.wallet import store
    from ledger.address import HRP_BY_NETWORK

    found = [
        {"name": account.name, "kind": f"devnet {devnet}", "address": account.address}
        for devnet, account in accounts.public_accounts()
    ]
    for name in store.names():
        key = store.load(name).public_keys[0]
        address = accounts.address_of(key, HRP_BY_NETWORK[network])
        found.append({"name": name, "kind": "wallet", "address": address})
    rows = [[item["name"], item["kind"], item["address"]] for item in found]
    empty = "no wallets yet: marsa wallet new NAME"
    emit(
        "marsa.wallet.list/1",
        {"wallets": found},
        lambda: table(["name", "kind", "address"], rows) if rows else empty,
    )


@wallet.command(
    "show",
    short_help="Where a wallet is and what it is made of.",
    help=f"""{examples("marsa wallet show savings", "marsa wallet show savings --json")}

Show a wallet's file, derivation path and addresses; no secret and no password.
""",
)
@click.argument("name")
@network_option
def show(name: str, network: str) -> None:
    """Everything that is public in the file."""
    from cli.wallet import store

    _emit_wallet("marsa.wallet.show/1", store.load(name), network)


@wallet.command(
    "addresses",
    short_help="The addresses of a wallet; --new adds one.",
    help=f"""{examples("marsa wallet addresses savings", "marsa wallet addresses savings --new")}

List a wallet's addresses. A further one needs the password.
""",
)
@click.argument("name")
@click.option("--new", "is_new", is_flag=True, help="Add an address.")
@network_option
@password_options
def addresses(
    name: str,
    is_new: bool,
    network: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """In the order of their index."""
    from cli import accounts
    from cli.wallet import store
    from ledger.address import HRP_BY_NETWORK

    found = store.load(name)
    if is_new:
        found = store.add_address(found, read_password(name, password_fd, password_file))
    shown = [accounts.address_of(key, HRP_BY_NETWORK[network]) for key in found.public_keys]
    emit("marsa.wallet.addresses/1", {"name": name, "addresses": shown}, "\n".join(shown))


@wallet.command(
    "backup",
    short_help="Show or write the 24 words once more.",
    help=f"""{
        examples("marsa wallet backup savings", "marsa wallet backup ci --words-file words.txt")
    }

Show the 24 words on the terminal, or write them to a 0600 file. Whoever has them has the coins.
""",
)
@click.argument("name")
@words_option
@password_options
def backup(
    name: str, words_file: Path | None, password_fd: int | None, password_file: Path | None
) -> None:
    """Needs the password, and a place for the words."""
    from cli.wallet import keystore, store
    from cli.wallet.mnemonic import to_words

    found = store.load(name)
    if words_file is None and not is_interactive():
        raise usage_error(
            "no_terminal",
            "the words are shown on a terminal only",
            f"marsa wallet backup {name} --words-file FILE",
        )
    password = read_password(name, password_fd, password_file)
    words = to_words(keystore.decrypt(found.keystore, password))
    if words_file is None:
        _show_words(words)
        emit("marsa.wallet.backup/1", {"name": name, "file": None}, "shown once")
    else:
        _write_words(words_file, words)
        value = {"name": name, "file": str(words_file)}
        emit("marsa.wallet.backup/1", value, f"words written to {words_file}")


@wallet.command(
    "verify-backup",
    short_help="Check that 24 words restore a wallet.",
    help=f"""{
        examples(
            "marsa wallet verify-backup savings",
            "marsa wallet verify-backup ci --words-file words.txt --json",
        )
    }

Check words against a wallet without changing anything; no password needed. Exit code 9 when they
are those of another wallet.
""",
)
@click.argument("name")
@words_option
def verify_backup(name: str, words_file: Path | None) -> None:
    """The words must yield the public keys of the file."""
    from cli.wallet import store
    from cli.wallet.mnemonic import to_entropy

    found = store.load(name)
    entropy = to_entropy(_read_words(words_file))
    keys = tuple(key.public for key in store.signing_keys(entropy, found.count))
    if keys != found.public_keys:
        raise CliError(
            "other_wallet",
            f"the words are valid, but not those of wallet '{name}'",
            hint=f"make a new backup: marsa wallet backup {name}",
            exit_code=ExitCode.CHECK_FAILED,
        )
    emit(
        "marsa.wallet.verify-backup/1",
        {"name": name, "ok": True},
        f"the words restore wallet '{name}' and its {counted(found.count, 'address', 'addresses')}",
    )


def _emit_wallet(schema: str, found: Wallet, network: str) -> None:
    from cli import accounts
    from ledger.address import HRP_BY_NETWORK

    shown = [accounts.address_of(key, HRP_BY_NETWORK[network]) for key in found.public_keys]
    value = {
        "name": found.name,
        "file": str(found.file),
        "uuid": found.keystore.uuid,
        "path": found.keystore.path,
        "address": shown[0],
        "addresses": len(shown),
    }
    emit(
        schema,
        value,
        f"wallet   {found.name}\nfile     {found.file}\npath     {found.keystore.path}\n"
        f"address  {shown[0]} (1 of {len(shown)})",
    )


def _check_free(name: str) -> None:
    """Before any question is asked."""
    from cli.accounts import public_accounts
    from cli.wallet import store

    public = [devnet for devnet, account in public_accounts() if account.name == name]
    if public:
        raise usage_error(
            "name_taken",
            f"'{name}' is a public account of devnet '{public[0]}', which is looked up first",
            "choose another name for the wallet",
        )
    if store.exists(checked_name(name, "wallet")):
        raise usage_error(
            "wallet_exists", f"there is a wallet '{name}' already", f"marsa wallet show {name}"
        )


def _write_words(file: Path, words: list[str]) -> None:
    write_private(file, (" ".join(words) + "\n").encode(), replace=False)


def _read_words(file: Path | None) -> str:
    if file is not None:
        if not file.is_file():
            raise not_found("no_words_file", f"there is no file {file}")
        return read_private(file).decode("utf-8", "replace")
    if not is_interactive():
        raise usage_error(
            "no_terminal", "there is no terminal to type the words on", "give --words-file FILE"
        )
    text: str = click.prompt("The 24 words", hide_input=True, err=True)
    return text


def _show_words(words: list[str]) -> None:
    """On standard error, which is the terminal here, and off the screen afterwards."""
    click.echo("Write these words down, in order. Whoever has them has the coins.\n", err=True)
    for start in range(0, len(words), 4):
        row = words[start : start + 4]
        line = "".join(f"{start + at + 1:4}. {word:<10}" for at, word in enumerate(row))
        click.echo(line, err=True)
    click.prompt("\nPress Enter when they are written", default="", show_default=False, err=True)
    click.echo("\033[2J\033[3J\033[H", nl=False, err=True)


def _ask_back(words: list[str]) -> None:
    """Three words by position: what was not written down is noticed before coins arrive."""
    for position in sorted(secrets.SystemRandom().sample(range(len(words)), WORDS_ASKED_BACK)):
        for _ in range(ATTEMPTS_MAX):
            answer: str = click.prompt(f"Word {position + 1}", err=True)
            if answer.strip().lower() == words[position]:
                break
        else:
            raise CliError(
                "words_not_written",
                f"word {position + 1} was wrong {ATTEMPTS_MAX} times; no wallet was made",
                hint="start again and write the words down",
                exit_code=ExitCode.REFUSED,
            )
