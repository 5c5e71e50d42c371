"""Symbol names: which are accepted, which collide, and which were meant.

Belongs here: rules over names alone. Does not: turning a name into a file name (`resources.files.encode_name`).
"""

import difflib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from resources.market_data.records import DataError, DataProblem, ProblemCode, printable

MAX_SYMBOL_CHARACTERS = 100
# No exchange uses these; each means something to a shell, a path, a table or a page that will show the name.
FORBIDDEN_CHARACTERS = frozenset('\\<>|"`')


def name_problem(symbol: str, where: str) -> DataProblem | None:
    """The reason for which a text is no symbol name, or None.

    Control, format, private and undecodable characters (Unicode categories C, Zl, Zp), surrounding blanks, path steps (`.`, `..`) and
    the characters of `FORBIDDEN_CHARACTERS` are refused; letters of any script, digits, `/`, `^`, `=`, `.`, `-`, `_` are usual in symbols.
    """
    reason = None
    if not symbol or symbol != symbol.strip():
        reason = "is empty or has blanks around it"
    elif len(symbol) > MAX_SYMBOL_CHARACTERS:
        reason = f"has {len(symbol)} characters > {MAX_SYMBOL_CHARACTERS}"
    elif any(unicodedata.category(character)[0] == "C" or unicodedata.category(character) in ("Zl", "Zp") for character in symbol):
        reason = "holds control or undecodable characters"
    elif found := sorted(FORBIDDEN_CHARACTERS & set(symbol)):
        reason = f"holds {' '.join(found)}"
    elif symbol.startswith(("/", "-")) or any(step in ("", ".", "..") for step in symbol.split("/")):
        reason = "reads as a path or an option"
    if reason is None:
        return None
    return DataProblem(symbol, ProblemCode.BAD_NAME, where, f"symbol name '{printable(symbol)}' {reason}; rename it")


def colliding_names(places: Mapping[str, Sequence[str]]) -> list[DataProblem]:
    """Symbols that stand in several places, or differ from another only by case or Unicode form.

    Parameters
    ----------
    places : symbol to the files or folders that claim it; a part of a folder is not a claim.

    Returns
    -------
    One problem for each symbol involved: which of them is meant cannot be known, so none is used.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for symbol in places:
        groups[unicodedata.normalize("NFKC", symbol).casefold()].append(symbol)
    problems = []
    for members in groups.values():
        claims = sorted(place for member in members for place in places[member])
        if len(members) > 1 or len(claims) > 1:
            listed = ", ".join(printable(claim) for claim in claims[:4])
            message = f"{len(claims)} places claim this symbol (letter case aside): {listed}; keep one"
            problems += [DataProblem(member, ProblemCode.NAME_COLLISION, "", message) for member in members]
    return problems


def require_known(wanted: Iterable[str] | None, known: Iterable[str], where: str) -> None:
    """Check that each symbol asked for exists.

    Raises
    ------
    DataError
        Where none is asked for; else with each unknown symbol, the nearest known one, and what there is.
    """
    if wanted is None:
        return
    names, asked = sorted(known), tuple(wanted)
    if not asked:
        raise DataError("data.symbols is empty; name symbols, or set it to null for all (config/universe.yaml)")
    there_are = set(names)
    unknown = [symbol for symbol in asked if symbol not in there_are]
    if not unknown:
        return
    by_case = {name.casefold(): name for name in names}
    parts = []
    for symbol in unknown[:5]:
        near = by_case.get(symbol.casefold()) or next(iter(difflib.get_close_matches(symbol, names, n=1)), None)
        parts.append(f"'{printable(symbol)}'" + (f" (did you mean '{near}'?)" if near else ""))
    there = ", ".join(printable(name) for name in names[:20]) + (f", ... {len(names)} in all" if len(names) > 20 else "")
    raise DataError(f"{where}: data.symbols asks for {', '.join(parts)}, which is not there; there are {there}")
