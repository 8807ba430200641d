"""The experiment that compares the systems: metrics, intervals and calibration, and its report."""
