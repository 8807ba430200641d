"""Watch over all domains by the log: claims against outcomes, drift, requests lost to neighbours, unknown features."""
