"""The workstation's parts.

The case (CaseLogic and what it uses) is plain Python; MRML is in Scene alone, Qt in CoreProcess, Requirements, Widget
and Panels. Of the core only ``review`` is imported here;
everything heavy runs in the worker's process. The code runs on Python 3.9, which Slicer 5.8 has.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("RenalCLIPCore") is None:
    # An installed extension carries the light files beside this package; in a checkout they lie at its root.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
