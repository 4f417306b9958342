"""The benchmark suite of xpnn: `xpnn bench`, or `pytest benchmarks/`.

bench_*.py    what is measured, as pytest-benchmark's users know it: operations, crossover, ladder
plugin.py     the options --backend and --quick; what goes into the JSON file beside pytest-benchmark's own
machine.py    the machine itself, before and after
session.py    a run of it all from the command line; report/ makes its reports from the JSON file alone
gpu.py        all that must hold on a GPU, by itself; on_gpu/ is what it runs
peers/        the same work in other libraries, each in a process of its own
startup.py    import, memory, first step and size on the disk, of xpnn and of the libraries in libraries.py
processes.py  the processes of both: equal threads, on the same CPUs
"""
