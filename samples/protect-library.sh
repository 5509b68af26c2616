#!/bin/sh
# Protect a photo library night after night, from cron: what is done and unchanged is not done again.
#   15 3 * * *  $HOME/bin/protect-library.sh $HOME/Pictures $HOME/Pictures-protected
# Anything after the two folders goes to ulecli protect: --identity ada, --exclude 'scans', --jobs 2.
#
# cron looks for programs in /usr/bin and /bin alone. This script also looks where pipx, uv and pip put ulecli,
# and in the .venv of the folder that it came in. If yours is elsewhere, write its whole path in front:
#   15 3 * * *  ULECLI=$HOME/venvs/ulecli/bin/ulecli $HOME/bin/protect-library.sh $HOME/Pictures ...
set -u

library=${1:?name the folder of your photos}
output=${2:?name the folder for the protected ones}
shift 2

here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:$HOME/.local/bin:/usr/local/bin:/opt/homebrew/bin:$HOME/bin:${here%/*}/.venv/bin
export PATH
ulecli=${ULECLI:-ulecli}
if ! command -v "$ulecli" > /dev/null; then
    echo "$ulecli is not found; name it by its whole path: ULECLI=/path/to/ulecli $0 ..." >&2
    exit 127
fi

log=${XDG_STATE_HOME:-$HOME/.local/state}/ulecli/protect.jsonl

mkdir -p "$(dirname "$log")"
trap 'rm -f "$log.$$"' EXIT
"$ulecli" protect "$library" -o "$output" --quiet --json "$@" > "$log.$$"
code=$?
[ "$code" = 11 ] || mv -f "$log.$$" "$log" # 11: an earlier run is still at work, and this one did nothing

# ulecli has written to stderr what is wrong, and cron mails that. No photo is half written whatever the code,
# and the next night goes on from there.
case $code in
    0 | 5) exit 0 ;; # 5: there is no photo yet
    3) echo "some photos of $library are not protected; see $log" >&2 ;;
esac
exit "$code"
