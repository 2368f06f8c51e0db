#!/bin/bash
# Written by `mpimages slurm`; submit it with `sbatch FILE`.
# mpimages slurm --nodes 2 --ntasks-per-node 16 --mem-per-cpu 2G --time 4:00:00 --no-requeue --mpi pmix to-series /scratch/lab/recording /scratch/lab/series.h5
#SBATCH --job-name=to-series
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=16
#SBATCH --mem-per-cpu=2G
#SBATCH --time=4:00:00
#SBATCH --no-requeue

# If nothing is heard from a host for so many seconds, the job ends with an error.
export MPIMAGES_TIMEOUT="${MPIMAGES_TIMEOUT:-1800}"

# Should the ranks not find each other: `srun --mpi=list` names the other ways.
srun --mpi=pmix mpimages to-series /scratch/lab/recording /scratch/lab/series.h5
