#!/usr/bin/env bash
# Makes the images of the README with the tools themselves: docs/img/make.sh [MORE FLAGS OF TRAIN …]
#
#   progress.gif   the first of 64 fixed latents after each epoch of a run, as `train` leaves it
#   samples.png    the grid of `sample --grid`
#   terminal.svg   the commands and everything that they print
#
# It needs bash, sed, awk, and the four tools on PATH (`just pictures` puts them there). It takes a few minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
session=$work/session
mkdir "$work/run"
cd "$work/run"

# Runs a command, and writes it and its output (stdout and stderr) to the session.
run() {
    printf '$ %s\n' "$*" | tee -a "$session"
    "$@" 2>&1 | tee -a "$session"
}

run prep --demo 4096
run train demo-64.safetensors --recipe demo "$@"
run sample G.safetensors -n 3000 --grid grid.png
run fid --features squeezenet demo-64.safetensors fakes/

# The session as an SVG: light text on a dark panel, so that it can be read on any background.
svg() {
    sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' "$1" | awk '
        { lines[NR] = $0; plain = $0; gsub(/&(amp|lt|gt);/, "x", plain); gsub(/[\200-\277]/, "", plain) }
        length(plain) > widest { widest = length(plain) }
        END {
            step = 19; left = 18; top = 46
            width = int(left * 2 + widest * 8.0 + 0.5); height = top + NR * step + 6
            printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", \
                width, height, width, height
            print "<style>text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, \"DejaVu Sans Mono\", monospace;" \
                " fill: #9aa5b1; white-space: pre } .command { fill: #f4f7fa; font-weight: 600 } .result { fill: #7ee0a1 }</style>"
            printf "<rect width=\"%d\" height=\"%d\" rx=\"9\" fill=\"#161b22\" stroke=\"#3d444d\"/>\n", width, height
            split("#ff5f57 #febc2e #28c840", lamps, " ")
            for (i = 1; i <= 3; i++) printf "<circle cx=\"%d\" cy=\"20\" r=\"5.5\" fill=\"%s\"/>\n", left + 20 * i - 14, lamps[i]
            for (i = 1; i <= NR; i++) {
                # Lines on stderr begin with the name of a tool; the others are results on stdout.
                class = lines[i] ~ /^\$ / ? "command" : (lines[i] ~ /^(prep|train|sample|fid): / ? "" : "result")
                printf "<text x=\"%d\" y=\"%d\"%s xml:space=\"preserve\">%s</text>\n", left, top + i * step - 7, \
                    class == "" ? "" : " class=\"" class "\"", lines[i]
            }
            print "</svg>"
        }'
}

svg "$session" >"$here/terminal.svg"
cp grid.png "$here/samples.png"
cp runs/demo-64/progress.gif "$here/progress.gif"
ls -l "$here" >&2
