"""What plugins and the core are tested with."""
