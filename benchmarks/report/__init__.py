"""Reports, made from what a run wrote and from nothing else."""
