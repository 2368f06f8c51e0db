"""``python -m tests`` on each rank, where only a file can be started: suite.py [ARGUMENT ...]"""

import runpy

runpy.run_module("tests", run_name="__main__", alter_sys=True)
