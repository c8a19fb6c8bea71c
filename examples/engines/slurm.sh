#!/bin/sh
# A sweep as a Slurm job array: each task runs a chunk of points, the last command makes the table.
#
#     sh examples/engines/slurm.sh examples/sweeps/thousand.ron results/thousand
#
# Submitting again goes on where the array was cut off: finished points are not repeated.
set -eu
sweep="$1"
out="$2"
chunk="${CHUNK:-50}" # A scheduler starts few tasks a second, so a task takes many points.
points="$(wafersim sweep "$sweep" --plan | wc -l)"
tasks="$(((points + chunk - 1) / chunk))"

array="$(sbatch --parsable --job-name wafersim --cpus-per-task 1 --array "0-$((tasks - 1))" <<JOB
#!/bin/sh
first=\$((SLURM_ARRAY_TASK_ID * $chunk))
exec wafersim sweep "$sweep" -o "$out" --threads 1 --quiet --point "\$first..\$((first + $chunk))"
JOB
)"
# Whatever became of single tasks: the table says which points are missing or have failed.
sbatch --wait --dependency "afterany:$array" --job-name wafersim-gather <<JOB
#!/bin/sh
exec wafersim sweep "$sweep" -o "$out" --gather
JOB
