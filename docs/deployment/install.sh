#!/bin/sh
# sh docs/deployment/install.sh [REVISION [FOLDER]]    (in a checkout; HEAD and /opt/ingest)
#
# Installs a commit of this checkout into an environment of its own. From an export: `pip install .`
# would also put into the package what an earlier build left in build/, migrations of another
# version among it.
set -eu

revision=${1:-HEAD}
environment=${2:-/opt/ingest}

export=$(mktemp -d)
trap 'rm -rf "$export"' EXIT
git -C "$(dirname "$0")/../.." archive --output "$export/source.tar" "$revision"
tar -x -C "$export" -f "$export/source.tar"
[ -x "$environment/bin/pip" ] || python3 -m venv "$environment"
"$environment/bin/pip" install -c "$export/constraints.txt" "${export}[sqlite]"
