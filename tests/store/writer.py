"""A process that writes to a store until it is killed: ``python -m tests.store.writer <database> <name>``.

It prints the revision of each change after it was committed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from aizen_hub.settings import Settings
from aizen_hub.store.sql_store import Store
from tests.store import store_rows
from tests.store.store_rows import TESTER


def main() -> None:
    url, name = sys.argv[1:]
    store = Store.open(Settings(data_dir=Path("unused"), database=url), store_rows.catalog())
    number = 0
    while True:
        number += 1
        with store.write(TESTER) as tx:
            store_rows.insert_user(tx, f"{name}-{number}")
            tx.audit("user.created", user=f"{name}-{number}")
            revision = tx.revision
        sys.stdout.write(f"{revision} {name}-{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
