"""Importers of corpora: utterances and templates in other formats as a corpus, patterns and lists."""
