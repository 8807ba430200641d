"""How good it is: semantic error, calibration and the experiment that compares the systems."""
