"""How evidence that takes minutes says how far it is, without knowing who listens.

Belongs here: the type of a listener, and the one that hears nothing. Does not: logs, clocks or terminals (`routing_assets.assets`, `command.progress`).
"""

from collections.abc import Callable

Told = Callable[[int, int, str], None]
"""Called with how many are done, of how many, and the last one's name."""


def unheard(done: int, total: int, what: str) -> None:
    """Nobody listens."""
