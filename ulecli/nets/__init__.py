"""Nets: those that surrogates are made of and those that exploiters train."""
