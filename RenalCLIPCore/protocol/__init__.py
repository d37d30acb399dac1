"""Studies run over a cohort: predictions, then evaluation, then one page."""
