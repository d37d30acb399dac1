"""The panels of the module, one file each: they show the case and pass on what a person does."""
