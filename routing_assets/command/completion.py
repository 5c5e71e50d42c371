"""Completion of the command line in bash, zsh and fish, written from the parser itself.

Belongs here: scripts as text. Does not: any option (`command.options`). The scripts are static: nothing of ours runs while a user types.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from config.load import known_keys

Shell = Literal["bash", "zsh", "fish"]
SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Option:
    """One option of one command: its spellings, its words of help, and what it may be given (empty: anything, a file among it)."""

    names: tuple[str, ...]
    summary: str
    choices: tuple[str, ...]
    takes_value: bool


def completion_script(parser: argparse.ArgumentParser, shell: Shell) -> str:
    """The script that a shell reads to complete `switchyard`; how to install it stands on its first line."""
    commands = dict(commands_of(parser))
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def commands_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, tuple[str, tuple[Option, ...]]]]:
    """Name of a command to its summary and options."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {pseudo.dest: pseudo.help or "" for pseudo in action._choices_actions}
            for name, command in action.choices.items():
                yield name, (summaries.get(name, ""), tuple(_options(command)))


def _options(command: argparse.ArgumentParser) -> Iterator[Option]:
    for action in command._actions:
        if action.option_strings:
            choices = tuple(f"{key}=" for key in known_keys()) if action.dest == "set" else tuple(str(choice) for choice in action.choices or ())
            yield Option(tuple(action.option_strings), (action.help or "").replace("%%", "%"), choices, action.nargs != 0)


def _bash(commands: dict[str, tuple[str, tuple[Option, ...]]]) -> str:
    cases = "".join(
        f'    {name}) words="{" ".join(spelling for option in options for spelling in option.names)}" ;;\n' for name, (_, options) in commands.items()
    )
    values = "".join(
        f'    {"|".join(option.names)}) COMPREPLY=($(compgen -W "{" ".join(option.choices)}" -- "$word")); {_no_space(option)}return ;;\n'
        for option in _with_choices(commands)
    )
    return f"""# bash: eval "$(switchyard completion bash)", or save it in ~/.local/share/bash-completion/completions/switchyard
_switchyard() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{" ".join(commands)} --help" -- "$word"))
    return
  fi
  case "$before" in
{values}  esac
  case "${{COMP_WORDS[1]}}" in
{cases}  esac
  if [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _switchyard switchyard
"""


def _no_space(option: Option) -> str:
    return "compopt -o nospace; " if option.choices[0].endswith("=") else ""


def _with_choices(commands: dict[str, tuple[str, tuple[Option, ...]]]) -> list[Option]:
    found = {option.names: option for _, options in commands.values() for option in options if option.choices}
    return list(found.values())


def _zsh(commands: dict[str, tuple[str, tuple[Option, ...]]]) -> str:
    listed = " ".join(f"'{name}:{_quoted(summary)}'" for name, (summary, _) in commands.items())
    cases = "".join(
        f"    {name}) _arguments {' '.join(_zsh_option(option) for option in options)} '*:file:_files' ;;\n" for name, (_, options) in commands.items()
    )
    return f"""#compdef switchyard
# zsh: save it as _switchyard in a folder of $fpath, for instance ~/.zfunc, and start a new shell
_switchyard() {{
  local -a commands=({listed})
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$command" in
{cases}  esac
}}
_switchyard "$@"
"""


def _zsh_option(option: Option) -> str:
    value = f":value:({' '.join(option.choices)})" if option.choices else ":value:_files"
    bracket = _quoted(option.summary).replace("[", "(").replace("]", ")")
    return " ".join(f"'*{name}[{bracket}]{value if option.takes_value else ''}'" for name in option.names)


def _fish(commands: dict[str, tuple[str, tuple[Option, ...]]]) -> str:
    lines = ["# fish: save it as ~/.config/fish/completions/switchyard.fish"]
    for name, (summary, options) in commands.items():
        lines.append(f"complete -c switchyard -n __fish_use_subcommand -f -a {name} -d '{_quoted(summary)}'")
        for option in options:
            spellings = " ".join(f"-l {spelling[2:]}" if spelling.startswith("--") else f"-s {spelling[1:]}" for spelling in option.names)
            value = f" -x -a '{' '.join(option.choices)}'" if option.choices else " -r" if option.takes_value else ""
            lines.append(f"complete -c switchyard -n '__fish_seen_subcommand_from {name}' {spellings}{value} -d '{_quoted(option.summary)}'")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Text inside single quotes, in every shell alike, and free of what their lists are cut at."""
    return text.replace("'", "").replace(":", ",").replace("\\", "")
