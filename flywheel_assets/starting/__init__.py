"""Starting one's own: a project written to be changed, and a declaration checked before it runs."""
