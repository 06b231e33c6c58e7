"""A process that changes a store until it is killed: ``python -m tests.store.writer <database> <name>``.

It says each revision on a line of its own once the change is acknowledged.
"""

from __future__ import annotations

import sys
from pathlib import Path

from aizen_hub.settings import Settings
from aizen_hub.store.store import Store
from tests.store import world
from tests.store.world import TESTER


def main() -> None:
    url, name = sys.argv[1:]
    store = Store.open(Settings(data_dir=Path("unused"), database=url), world.catalog())
    number = 0
    while True:
        number += 1
        with store.write(TESTER) as tx:
            world.user(tx, f"{name}-{number}")
            tx.audit("user.created", user=f"{name}-{number}")
            revision = tx.revision
        sys.stdout.write(f"{revision} {name}-{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
