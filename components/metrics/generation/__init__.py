"""How near generated images are to real ones, and how varied they are.

Every measure takes arrays and a seed, and gives the same number for the same arguments.
"""
