#!/bin/bash
# Written by `mpimages slurm`; submit it with `sbatch FILE`.
# mpimages slurm --ntasks 16 --mem-per-cpu 2G --time 0:30:00 --mpi pmix stats /scratch/lab/recording /scratch/lab/statistics
#SBATCH --job-name=stats
#SBATCH --ntasks=16
#SBATCH --mem-per-cpu=2G
#SBATCH --time=0:30:00

# If nothing is heard from a host for so many seconds, the job ends with an error.
export MPIMAGES_TIMEOUT="${MPIMAGES_TIMEOUT:-1800}"

# Should the ranks not find each other: `srun --mpi=list` names the other ways.
srun --mpi=pmix mpimages stats /scratch/lab/recording /scratch/lab/statistics
