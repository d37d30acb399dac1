"""Commands of ``renalclip``: a frozen dataclass each, with its arguments and ``run()``.

The modules import the standard library only; rooms are imported inside ``run`` so that ``renalclip --help`` is quick.
"""
