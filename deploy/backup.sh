#!/bin/sh
# Archive of a store that is a folder, while services and publishers go on using it:
#
#     backup.sh STORE FOLDER [DAYS]
#
# Writes FOLDER/store-TIME.tar.gz, checks it with `arbitrank verify`, and removes archives older than DAYS (30). The
# histories are listed first: a change is written after the version that it names, so the archive has that version too.
set -eu
umask 077
store=$1 folder=$2 days=${3:-30}

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
archive="$folder/store-$(date -u +%Y%m%dT%H%M%SZ).tar.gz"
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked" "$archive.part"' EXIT

cd "$store"
{
    find . -type f -path '*/history/*.json'
    find . -type f ! -path '*/history/*'
} | tar -czf "$archive.part" -T -

tar -xzf "$archive.part" -C "$unpacked"
arbitrank verify "$unpacked" > "$unpacked.checks" || {
    grep FAIL "$unpacked.checks" >&2
    rm -f "$unpacked.checks"
    exit 1
}
rm -f "$unpacked.checks"
mv "$archive.part" "$archive"
find "$folder" -name 'store-*.tar.gz' -mtime "+$days" -exec rm -f {} +
echo "$archive"
