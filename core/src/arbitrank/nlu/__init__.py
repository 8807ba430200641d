"""The reference recogniser that a domain may build on: domain and intent classifiers, and a slot tagger."""
