#!/bin/sh
# A sweep by GNU parallel, on this machine or those of a file: PARALLEL_ARGS="--sshloginfile hosts --workdir ." (the
# folder of results must then be shared).
#
#     sh examples/engines/parallel.sh examples/sweeps/small.ron results/small
set -eu
sweep="$1"
out="$2"
# Failed points do not end the rest; the table says which they are.
# shellcheck disable=SC2086
wafersim sweep "$sweep" --plan | cut -f1 |
    parallel ${PARALLEL_ARGS:-} wafersim sweep "$sweep" -o "$out" --threads 1 --quiet --point {} ||
    echo "some points failed" >&2
wafersim sweep "$sweep" -o "$out" --gather
