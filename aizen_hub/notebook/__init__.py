"""IPython extension for commands in notebooks, loaded with ``%load_ext aizen_hub.notebook``.

It imports no other package of aizen-hub. It enforces nothing, since the user controls the code in a kernel: the service
authorizes every command.
"""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Install magics, plain-text commands and completion in a shell."""
    from aizen_hub.notebook.extension import load_ipython_extension as load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Uninstall them."""
    from aizen_hub.notebook.extension import unload_ipython_extension as unload

    unload(shell)
