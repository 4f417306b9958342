"""Peers: the same work in other libraries, in processes of their own, in turn, on numbers that were compared first."""

from xpnn_benchmarks.peers.race import PEERS as PEERS
from xpnn_benchmarks.peers.rows import run as run
from xpnn_benchmarks.peers.works import WORKS as WORKS
