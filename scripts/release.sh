#!/usr/bin/env bash
# Tag the commit with its version (vX.Y.Z) and release it with wheel and source archive, if CHANGELOG.md has
# a dated heading for the version and no tag names it yet. With --tag only the local tag is made.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' pyvda/__init__.py)
if ! grep -qE "^## \[?${version//./\\.}\]? - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md; then
    echo "release: CHANGELOG.md has no dated heading for $version; nothing is released"
    exit 0
fi
if git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null; then
    echo "release: the tag v$version exists; nothing is released"
    exit 0
fi
if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
    echo "release: tracked files have uncommitted changes; commit them or put them away" >&2
    exit 2
fi

if [ "${1:-}" = --tag ]; then
    git tag --annotate "v$version" --message "pyvda $version"
    echo "release: tagged v$version"
    exit 0
fi
python -m pip install --quiet hatchling twine
python -m hatchling build -d dist
python -m twine check --strict dist/*
git -c user.name=release -c user.email=release@localhost \
    tag --annotate "v$version" --message "pyvda $version"
git push origin "v$version"
gh release create "v$version" dist/* --title "pyvda $version" --notes "See CHANGELOG.md."
