"""Importers: other systems' hypotheses, and corpora in other formats, as arbitrank's own."""
