#!/bin/sh
# Pictures of the book as a phone, a tablet and a screen show it, to look at after a change of its style:
# docs/assets/pictures.sh FOLDER, after `mdbook build docs`. Needs Chromium (Debian: chromium).
set -eu
folder=$1
book=$(cd "$(dirname "$0")/.." && pwd)/book
mkdir -p "$folder"
frame=$(mktemp --suffix=.html)
trap 'rm -f "$frame"' EXIT
for page in index background variational kl gradients vae autoencoders symbols; do
    for width in 360 768 1280; do
        # A window is never as narrow as a phone; a frame in it is.
        echo "<body style='margin:0'><iframe style='border:0;width:${width}px;height:2400px' src='file://$book/$page.html'></iframe>" > "$frame"
        chromium --headless --no-sandbox --disable-gpu --allow-file-access-from-files --virtual-time-budget=9000 \
            --window-size="$((width > 500 ? width : 500)),2400" --screenshot="$folder/$page-$width.png" "file://$frame" 2> /dev/null
    done
done
