"""How each operation of a net is written into a gradient graph: forward nodes, and what emits the backward.

A rule is a function with the signature of the torch function that it stands for, behind the graph that it
writes to. It emits its forward nodes at once and returns the name of the output with, for every input, a
function that is called once all forward nodes are there and emits the nodes of the way back. `table.RULES`
holds all rules; a new one is a function in one of these modules and a line there.
"""
