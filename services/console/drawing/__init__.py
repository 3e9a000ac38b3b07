"""The topology as a picture: nodes and lines, few enough to be looked at, in the reader's language."""
