#!/bin/sh
# Protect a photo library night after night, from cron: what is done and unchanged is not done again.
#   15 3 * * *  $HOME/bin/protect-library.sh $HOME/Pictures $HOME/Pictures-protected
# Anything after the two folders goes to ulecli protect: --identity ada, --exclude 'scans', --jobs 2.
set -u

library=${1:?name the folder of your photos}
output=${2:?name the folder for the protected ones}
shift 2
log=${XDG_STATE_HOME:-$HOME/.local/state}/ulecli/protect.jsonl

mkdir -p "$(dirname "$log")"
ulecli protect "$library" -o "$output" --quiet --json "$@" > "$log"
code=$?

# ulecli has told on stderr what is wrong, and cron mails that. No photo is half written whatever the code,
# and the next night goes on from there.
case $code in
    0 | 5) exit 0 ;; # 5: there is no photo yet
    3) echo "some photos of $library are not protected; $log tells all" >&2 ;;
esac
exit "$code"
