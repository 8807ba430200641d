"""The Shortlister: which few of very many skills are worth asking, learnt from utterances and from what went wrong."""
