"""Where work is placed. An engine takes task files and tells what became of them; it computes nothing."""
