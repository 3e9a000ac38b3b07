"""Who is connected to whom: what a caller may see as one graph, drawn as a picture, as text, or told as data."""
