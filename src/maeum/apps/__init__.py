"""Front ends: each parses its input, calls the public Python surface once, and formats the answer."""
