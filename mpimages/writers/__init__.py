"""One module per output format; `output.staging` makes an output appear whole or not at all.

Writers know no collection. A writer's constructor and ``finish`` are collective; what is
between them is local, in any order. Everything is written below `staging.staged`.
"""
