#!/bin/bash
# Many recordings, a job for each: their directories stand in a file, one a line.
#   sbatch --array=1-"$(wc -l < recordings.txt)" array.sh recordings.txt /scratch/lab/results
# Of /scratch/lab/monday the series go to /scratch/lab/results/monday.h5.
#SBATCH --job-name=to-series
#SBATCH --output=to-series-%A-%a.log
#SBATCH --ntasks=16
#SBATCH --mem-per-cpu=2G
#SBATCH --time=4:00:00
# What a job leaves at its time limit is taken up when it is queued again: see resume.sh.
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append

recording=$(sed -n "${SLURM_ARRAY_TASK_ID}p" "$1")
mkdir -p "$2"
srun --mpi=pmix mpimages to-series "$recording" "$2/$(basename "$recording").h5" --resume
code=$?
if [ $code -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 50 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
