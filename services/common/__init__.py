"""Rooms that the programs share; none of them knows a program."""
