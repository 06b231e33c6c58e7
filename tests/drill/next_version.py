"""aizen-hub as its next version would be, with one more migration.

``python -m tests.drill.next_version serve aizen.yaml`` runs the service, anything else the command line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from aizen_hub.cli.main import main
from aizen_hub.service.server import run
from aizen_hub.store import migrate

VARIABLE = "DRILL_MIGRATIONS"
"""Names the folder with the migrations of the next version."""

if __name__ == "__main__":
    migrate._MIGRATIONS = Path(os.environ[VARIABLE])
    if sys.argv[1] == "serve":
        sys.exit(run(sys.argv[2]))
    main()
