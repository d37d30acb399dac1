"""RenalCLIPDesktop: the Slicer module RenalCLIPSlicer, unchanged, in a window of its own.

PySide6 stands in for Slicer's application and widgets; scene, logic and views are Slicer's own (slicer-core,
trame-slicer). The stand-ins prove names and wiring of a module, not how it looks in Slicer.
"""
