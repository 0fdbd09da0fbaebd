"""Rows of the paper's tables, computed again. Begin with `reproduce`; `published` has the paper's figures."""
