"""Transport between a server and its kernels on machines that several accounts share."""

from __future__ import annotations

from collections.abc import Iterable

IPC_ARGUMENT = "--KernelManager.transport=ipc"
"""Sockets in the user's own folder instead of TCP, where every account of the machine could read what a cell prints."""


def missing_arguments(arguments: Iterable[object]) -> list[str]:
    """Return the argument that chooses sockets, unless the arguments of the server choose a transport themselves."""
    return [] if any("transport" in str(argument) for argument in arguments) else [IPC_ARGUMENT]
