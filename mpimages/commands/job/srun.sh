#!/bin/bash
# Written by `mpimages slurm`; submit it with `sbatch FILE`.
{options}
# {margin} seconds before the time limit the ranks get SIGTERM.
# They record what is done, and end with code 75; the job is queued again, and goes on.
#SBATCH --signal=TERM@{margin}
#SBATCH --requeue
#SBATCH --open-mode=append

{setup}{launch} --resume
code=$?
if [ $code -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 50 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
