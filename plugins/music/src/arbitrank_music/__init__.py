"""The Music domain of arbitrank."""
