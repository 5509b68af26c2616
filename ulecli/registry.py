"""Things by name: what a command lists and looks up, and what plugins add to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn, TypeVar

from ulecli.errors import UsageError, unknown

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Entries by name, in the order in which they are listed; they don't change.

    Args:
        what: What an entry is, in messages: "net".
        entries: By name.
    """

    def __init__(self, what: str, entries: Mapping[str, T]) -> None:
        self.what = what
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __setitem__(self, name: str, entry: T) -> NoReturn:
        """Refuse to change what all evaluations share.

        Raises:
            UsageError: always; the message says how an evaluation gets an entry of one's own.
        """
        raise UsageError(
            f"the list of each {self.what} there is does not change: give EvaluateConfig the {self.what} "
            f"itself, or a plugin that defines '{name}'"
        )

    def find(self, name: str, listed: str = "") -> T:
        """Return the entry of a name.

        Args:
            name: As it was typed.
            listed: What the message lists instead of all names.

        Raises:
            UsageError: there is none; the message lists those there are and the nearest of them.
        """
        if name not in self._entries:
            raise unknown(self.what, name, self._entries, listed)
        return self._entries[name]

    def joined(self, more: Mapping[str, T], source: str) -> Registry[T]:
        """Return a registry of these entries and more.

        Args:
            more: By name.
            source: Where they come from, in messages.

        Raises:
            UsageError: a name is taken.
        """
        for name in more:
            if name in self._entries:
                raise UsageError(
                    f"{source} defines the {self.what} '{name}', which there is already: choose another name"
                )
        return Registry(self.what, {**self._entries, **more})
