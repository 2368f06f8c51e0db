#!/bin/bash
# Written by `mpimages slurm`; submit it with `sbatch FILE`.
{options}
# {margin} seconds before the time limit this script gets SIGUSR1, and passes it on to the ranks.
# They record what is done, and end with code 75; the job is queued again, and goes on.
#SBATCH --signal=B:USR1@{margin}
#SBATCH --requeue
#SBATCH --open-mode=append

{setup}trap 'kill -USR1 "$job"' USR1
{launch} --resume &
job=$!
wait "$job"
code=$?
while kill -0 "$job" 2>/dev/null; do  # it was the signal that ended the wait
  wait "$job"
  code=$?
done
if [ $code -eq 75 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 50 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
