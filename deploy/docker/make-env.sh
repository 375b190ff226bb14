#!/bin/sh
# Makes .env out of .env.example with random secrets, readable by its owner alone. Never touches one that is there.
set -eu
umask 077
cd "$(dirname "$0")/../.."

random() { # random BYTES: as hexadecimal digits, which need no quoting in addresses and configuration files
  od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'
}

if [ -e .env ]; then
  echo "make-env: .env is there and is left as it is"
  exit 0
fi
partial=$(mktemp .env.XXXXXX)
trap 'rm -f "$partial"' EXIT
while IFS= read -r line; do
  case $line in
    S3_ACCESS_KEY=) line=$line$(random 10) ;;
    METRICS_KEY= | MAMMO_API_KEY=) line=${line}mammo_$(random 4)_$(random 24) ;;
    REDIS_PASSWORD= | S3_SECRET_KEY= | MAMMO_GATEWAY_TOKEN=) line=$line$(random 24) ;;
  esac
  printf '%s\n' "$line"
done <.env.example >"$partial"
ln "$partial" .env # fails where somebody else was faster, instead of replacing it
echo "make-env: .env is made with random secrets (mode 0600); keep it: the volumes of the stack go with it"
