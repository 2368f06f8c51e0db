#!/bin/bash
# Written by `mpimages slurm`; submit it with `sbatch FILE`.
# mpimages slurm --nodes 2 --ntasks-per-node 16 --mem-per-cpu 2G --time 4:00:00 --mpi pmix to-series /scratch/lab/recording /scratch/lab/series.h5
#SBATCH --job-name=to-series
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=16
#SBATCH --mem-per-cpu=2G
#SBATCH --time=4:00:00
# 120 seconds before the time limit the ranks get SIGTERM.
# They record what is done, and end with code 75; the job is queued again, and goes on.
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

# If nothing is heard from a host for so many seconds, the job ends with an error.
export MPIMAGES_TIMEOUT="${MPIMAGES_TIMEOUT:-1800}"

# Should the ranks not find each other: `srun --mpi=list` names the other ways.
srun --mpi=pmix mpimages to-series /scratch/lab/recording /scratch/lab/series.h5 --resume
code=$?
if [ $code -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 50 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
