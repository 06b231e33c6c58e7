"""The command ``python -m aizen_hub.service aizen.yaml``, with which the hub starts its managed service."""

from __future__ import annotations

import os
import sys

_PARENT = os.getppid()  # before anything slow: the parent may die meanwhile


def main() -> int:
    # The rest is imported only after the process is tied to its parent: importing takes a second in which a killed hub
    # would otherwise leave an orphan behind.
    from aizen_hub.service.runtime.parent_death import StartupError, end_with_parent

    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: python -m aizen_hub.service aizen.yaml", file=sys.stderr)
        return 2
    try:
        if os.environ.get("AIZEN_INSTANCE"):
            end_with_parent(_PARENT)
    except StartupError as error:
        print(f"aizen-hub serve: {error}", file=sys.stderr)
        return 1
    from aizen_hub.service.server import run

    return run(sys.argv[1])


if __name__ == "__main__":
    sys.exit(main())
