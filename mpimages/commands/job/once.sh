#!/bin/bash
# Written by `mpimages slurm`; submit it with `sbatch FILE`.
{options}

{setup}{launch}
