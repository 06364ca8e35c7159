#!/usr/bin/env bash
# Builds the dashboard into dashboard/dist, from where the binary takes it in.
# Does nothing when nothing changed.
. "$(dirname "$0")/lib.sh"
need_toolchain npm "Node.js 20"
cd "$ROOT/dashboard"

installed=node_modules/.installed-lock.json
if ! cmp -s package-lock.json "$installed"; then
  say "installing the dashboard's packages"
  npm ci --no-audit --no-fund --loglevel=error >&2
  cp package-lock.json "$installed"
fi

built=dist/index.html
if [ ! -e "$built" ] || [ -n "$(find . -path ./node_modules -prune -o -path ./dist -prune -o -type f -newer "$built" -print -quit)" ]; then
  say "building the dashboard"
  npm run --silent build >&2
fi
