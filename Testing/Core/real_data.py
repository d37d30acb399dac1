"""Where tests look for real CTs, masks and tables, which are not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

REAL_DATA = Path(os.environ.get("RENALCLIP_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
