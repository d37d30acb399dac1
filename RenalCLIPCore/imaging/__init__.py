"""Files to ROI cube: volumes and their geometry, phases, segmentation, lesions, regions of interest."""
