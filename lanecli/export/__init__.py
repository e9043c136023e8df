"""Deployment: one file with its metadata inside, run and compared before it is called exported."""
