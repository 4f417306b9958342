"""Peers: the same work in other libraries, in processes of their own, in turn, on numbers that were compared first."""
