"""`marsa completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cli.base import Command, examples
from cli.output import emit

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "marsa"
VARIABLE = "_MARSA_COMPLETE"
"""What click reads when the shell asks for words."""


@click.command(
    "completion",
    cls=Command,
    help=f"""{
        examples(
            'eval "$(marsa completion bash)"',
            "marsa completion fish > ~/.config/fish/completions/marsa.fish",
        )
    }

Print the lines that make bash (4.4 and later), zsh or fish complete commands and options. For every
new shell put the first example into ~/.bashrc, or the same with zsh into ~/.zshrc.
""",
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """The script of click, with our name."""
    cls = get_completion_class(shell)
    assert cls is not None  # It knows each of SHELLS.
    root = click.get_current_context().find_root().command
    script = cls(root, {}, PROGRAM, VARIABLE).source().rstrip("\n")
    emit("marsa.completion/1", {"shell": shell, "script": script}, script)
