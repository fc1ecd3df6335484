"""Looks into a model in a locked-down container, where pickles may be loaded: what it is and what its artifact says."""
