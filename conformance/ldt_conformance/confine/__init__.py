"""The two programs between the judge and what is judged: ``outer`` outside the walls, ``inner`` inside.

Both run by their paths, with the standard library alone, since what is judged need not have this suite installed.
"""
