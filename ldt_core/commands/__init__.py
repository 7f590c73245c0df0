"""What the commands of ``ldt`` do; imported only when called."""
