"""The HTTP service and its client: observations in, decisions out."""
