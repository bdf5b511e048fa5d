"""Delivery and composition root: HTTP, the job queue, the command line."""
