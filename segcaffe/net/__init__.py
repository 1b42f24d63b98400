"""From a NetParameter to a graph, and from the graph to a running net."""
