"""The grid of permissions to tick."""

from __future__ import annotations

from pathlib import Path

import pytest

from aizen_hub.catalogs.loader import BUILT_IN
from aizen_hub.rbac.permission import Permission
from aizen_hub.service.panel.roles.permission_grid import permission_grid
from tests.accounts.harness import open_harness


@pytest.mark.parametrize("catalog", BUILT_IN)
def test_every_permission_of_a_catalog_can_be_ticked_once(tmp_path: Path, catalog: str) -> None:
    harness = open_harness(tmp_path / "data", catalog=catalog)
    with harness.read() as tx:
        grid = permission_grid(tx, ["gone:permission"])
        cells = [cell.value for _, rows in grid.tasks for row in rows for cell in row.cells if cell.value]
        cells += [cell.value for cell in (*grid.others, *grid.wide) if cell.value]
        assert len(cells) == len(set(cells))
        required = {str(permission) for permission in tx.catalog.permissions}
        named = {str(named.permission) for named in tx.catalog.named_permissions if named.permission}
        assert set(cells) == required | named | {"gone:permission"}
        assert grid.values == set(cells)
        assert all(Permission.parse(value) for value in cells)
        assert {task for task, _ in grid.tasks} <= set(tx.catalog.tasks)
    harness.close()
