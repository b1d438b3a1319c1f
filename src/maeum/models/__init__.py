"""Models: the contract (``base``) and one module per model kind."""
