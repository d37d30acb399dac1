"""Cohort tables, splits, ROI stores, datasets and augmentation."""
