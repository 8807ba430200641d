"""The Books domain of arbitrank."""
