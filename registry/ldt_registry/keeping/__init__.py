"""Keeping a registry: collect what nobody uses, check that all is there, back it up, bring it back."""
