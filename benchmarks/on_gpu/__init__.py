"""What `gpu.py` runs, file by file.

session.py    from the first look at the machine to the last line; selection.py: the tests
isolation.py  a row in another process: what it may break, and how long it may take
rows.py       the rows in their order, with what must hold
device.py     is it a real GPU, what is it, and what are its ceilings
clock.py      times by events and by the wall, in turns
contest.py    ours beside others: numbers first, then times
training.py   a step of a network; recurrent.py, kernels.py: parts of one
learning.py   MNIST to 99 %; starting.py: the first step of a process
checks.py     what to look at first on a GPU that has never run this; replays.py: its recorded steps
with_torch.py the same in PyTorch: eager, as a CUDA graph, compiled
verdict.py    what must hold beside what was measured; report.py: the table

Nothing here gives a figure unless `device.real` found a real GPU.
"""
