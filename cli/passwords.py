"""Passwords of wallets: from a prompt, an open file descriptor, or a 0600 file. Never from
arguments or the environment, where other processes and logs see them."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from cli.base import Number
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.home import read_private
from cli.output import is_interactive
from cli.wallet.keystore import PASSWORD_CHARS_MIN

PASSWORD_BYTES_MAX = 1_024
PASSWORD_REST_S = 2.0
"""For the rest of a password without a newline."""

F = TypeVar("F", bound=Callable[..., object])


def password_options(command: F) -> F:
    """--password-fd and --password-file, as arguments of those names."""
    command = click.option(
        "--password-fd", type=Number(0), metavar="N", help="Read the password from fd N."
    )(command)
    return click.option(
        "--password-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Read the password from a file that only you may read.",
    )(command)


def read_password(
    wallet: str, password_fd: int | None, password_file: Path | None, *, is_new: bool = False
) -> str:
    """The password of a wallet; a new one is asked twice and must not be trivially short."""
    password = _given(password_fd, password_file)
    if password is None:
        if not is_interactive():
            raise CliError(
                "password_needed",
                f"wallet '{wallet}' is locked and there is no terminal to ask on",
                hint="give the password with --password-fd N or --password-file FILE",
                exit_code=ExitCode.LOCKED,
            )
        password = click.prompt(
            f"Password of wallet '{wallet}'", hide_input=True, confirmation_prompt=is_new, err=True
        )
    if is_new and len(password) < PASSWORD_CHARS_MIN:
        raise usage_error(
            "weak_password",
            f"the password has {len(password)} characters",
            f"use {PASSWORD_CHARS_MIN} or more: whoever copies the file can try for years",
        )
    return password


def _read_line(descriptor: int) -> bytes:
    """Up to a newline or the end, however a pipe cuts it, or what is there when nothing more comes
    from a writer that keeps it open; a byte above the limit is read, too."""
    data = b""
    while b"\n" not in data and len(data) <= PASSWORD_BYTES_MAX:
        if data and not select.select([descriptor], [], [], PASSWORD_REST_S)[0]:
            break
        more = os.read(descriptor, PASSWORD_BYTES_MAX + 1 - len(data))
        if not more:
            break
        data += more
    return data


def _given(password_fd: int | None, password_file: Path | None) -> str | None:
    if password_fd is not None and password_file is not None:
        raise usage_error("two_passwords", "--password-fd and --password-file are both given")
    if password_fd is not None:
        try:
            data = _read_line(password_fd)
        except OSError as error:
            raise usage_error(
                "bad_password_fd", f"descriptor {password_fd}: {error.strerror}"
            ) from None
    elif password_file is not None:
        if not password_file.is_file():
            raise not_found("no_password_file", f"there is no file {password_file}")
        data = read_private(password_file)
    else:
        return None
    line = data.split(b"\n", 1)[0].removesuffix(b"\r")
    if len(line) > PASSWORD_BYTES_MAX:
        raise usage_error(
            "bad_password", f"the password has more than {PASSWORD_BYTES_MAX} bytes", "use less"
        )
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise usage_error("bad_password", "the password is not UTF-8 text") from None
