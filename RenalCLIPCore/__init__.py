"""RenalCLIP core: from a multi-phase CT study to a case review, without a display.

Importing this package imports none of its rooms; each capability is imported where it is used.
"""

__version__ = "0.1.0"
