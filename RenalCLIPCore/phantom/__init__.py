"""The digital renal phantom: anatomy, lesions, enhancement and the truth about them."""
