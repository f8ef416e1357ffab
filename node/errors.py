"""What stops a node before or while it runs, in words for its operator."""

from __future__ import annotations


class NodeError(Exception):
    """A node cannot start or go on. `sentence` names what is wrong, `hint` what to do about it."""

    def __init__(self, code: str, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.hint = hint
