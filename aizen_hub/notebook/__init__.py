"""What runs inside a user's notebook server; imports nothing else of ours. ``%load_ext aizen_hub.notebook`` loads it.

Nothing here enforces anything: the code in a kernel belongs to its user. The service decides.
"""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Put magics, plain-text commands and completion into a shell."""
    from aizen_hub.notebook.extension import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take them out again."""
    from aizen_hub.notebook.extension import unload_ipython_extension as unload

    unload(shell)
