"""What the command prints: text that any terminal can show, and one JSON document that any parser can read.

Belongs here: standard output and standard error. Does not: what is said (`command.summary`, the commands), or progress (`command.progress`).
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import orjson

from routing_assets.command.terminal import BAD, coloured, has_colour, painted


def print_text(text: str) -> None:
    """Text on standard output, in colour on a terminal, characters that it cannot hold escaped."""
    _print(painted(text) if has_colour(sys.stdout) else text)


def print_document(document: Mapping[str, Any], *, indented: bool = True) -> None:
    """One JSON document on standard output."""
    _print(json_text(document, indented=indented) + "\n")


def print_error(text: str) -> None:
    """Text on standard error."""
    _write(sys.stderr, text)


def print_problem(text: str) -> None:
    """A line of what did not succeed, on standard error."""
    print_error(f"{coloured('not done', BAD) if has_colour(sys.stderr) else 'not done'}: {text}\n")


def json_text(document: Mapping[str, Any], *, indented: bool = True) -> str:
    """A document as JSON: keys sorted where it is indented, a number that is none as null, bytes of a name that are no text escaped."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS if indented else 0
    try:
        return orjson.dumps(document, option=options).decode()
    except orjson.JSONEncodeError:
        return orjson.dumps(_readable(document), option=options).decode()


def _readable(value: Any) -> Any:
    """The same value without halves of surrogate pairs, which stand for bytes of a file name or an argument that are no UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_readable(key): _readable(item) for key, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, Sequence) else value


def _print(text: str) -> None:
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        # A reader that has gone away is no fault of the command's; what Python would flush again at its own end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write(stream: TextIO, text: str) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
