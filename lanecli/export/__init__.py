"""Export: one file with its metadata inside, run and compared with torch before it counts as exported."""
