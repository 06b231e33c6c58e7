"""Names in change records, and the compiled rights that each of them affects."""

from __future__ import annotations

import pytest

from aizen_hub.store.rights.changed_names import affected_names


@pytest.mark.parametrize(
    ("changed_name", "names"),
    [
        ("user:alice", {"user:alice"}),
        ("service-account:bot", {"service-account:bot"}),
        ("role:R", {"role:R"}),
        ("session:1", set()),
        ("key:k", set()),
        ("lock:identity:user:alice", {"user:alice"}),
        ("lock:identity:group:g:h", {"group:g:h"}),
        ("lock:project:p", {"project:p", "project:*"}),
        *[
            (changed_name, None)
            for changed_name in ("*", "", "user", "user:", "lock:", "lock:identity", "lock:identity:",
                                 "lock:identity:x:y", "lock:session:1", "lock:x:y", "planet:mars")
        ],
    ],
)  # fmt: skip
def test_affected_names(changed_name: str, names: set[str] | None) -> None:
    assert affected_names(changed_name) == names
