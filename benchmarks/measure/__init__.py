"""Measures a GPU through PyTorch: shapes, cases, timing, and the table that they end in. Needs nothing of accelsim."""
