"""Answers of model servers as a script in the gateway brought them: bounded in size, whole, and decoded.

A model server is hostile until proven otherwise. The scripts bound each answer in bytes and in time; what they bring is
decoded here into a type, and anything else is the model's fault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from gitops_ml.core.text import clean_line
from gitops_ml.errors import InputError, ModelRejected

Answer = TypeVar("Answer")


def whole_answer(content: bytes, server: str, mark: bytes) -> bytes:
    """The answer without the mark that the script puts behind one that came whole.

    Raises `ModelRejected` where the mark is absent: the answer was longer, or took longer, than the script allows.
    """
    text = content.rstrip()
    if not text.endswith(mark):
        raise ModelRejected(f"the answer of {server} did not come whole", why="it is too long, or took too long")
    return text.removesuffix(mark)


def decoded(content: bytes, server: str, decode: Callable[[bytes], Answer]) -> Answer:
    """What `decode` makes of an answer. Raises `ModelRejected` where it refuses the answer."""
    try:
        return decode(content)
    except (msgspec.MsgspecError, InputError, ValueError, LookupError, TypeError, RecursionError) as error:
        why = clean_line(str(error), 300) or type(error).__name__
        raise ModelRejected(f"the answer of {server} is malformed", why=why) from error
