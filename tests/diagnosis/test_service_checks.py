"""What a running service finds wrong with itself."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import update

from aizen_hub.diagnosis.service_checks import unauthorized_check_service
from aizen_hub.store import tables
from tests.accounts.harness import OPERATOR, open_harness


def test_settings_and_accounts_are_checked_errors_first(tmp_path: Path) -> None:
    harness = open_harness(tmp_path)
    try:
        harness.register_users("lea")
        found = {each.check for each in unauthorized_check_service(harness.store.settings, harness.store)}
        assert "core" in found
        assert "auto-register" not in found
        with harness.write(OPERATOR) as tx:
            tx.conn.execute(update(tables.users).values(provider="gone"))
        settings = harness.store.settings.model_copy(update={"auto_register": True})
        results = unauthorized_check_service(settings, harness.store)
        assert {"auto-register", "user-provider"} <= {each.check for each in results}
        assert [each.level for each in results] == sorted((each.level for each in results), reverse=False)
        assert all(each.remedy and each.where for each in results)
    finally:
        harness.close()
