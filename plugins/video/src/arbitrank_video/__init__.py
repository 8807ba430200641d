"""The Video domain of arbitrank."""
