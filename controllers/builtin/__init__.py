"""The built-in controllers: each a pure planner, and a thin reconciler that reads and performs.

A planner gets the objects and the view, and returns actions. It never asks who else acts: names are
functions of the owner, so that two planners on two sides of a cut ask for the same objects.
"""
