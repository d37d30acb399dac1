"""Worklists: who reads which case, what was read, and the log of every change."""
