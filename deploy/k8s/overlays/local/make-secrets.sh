#!/bin/sh
# Random secrets for the local overlay, readable by their owner alone. Never touches those that are there.
set -eu
umask 077
cd "$(dirname "$0")"

random() { # random BYTES: as hexadecimal digits
  od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'
}

if [ -e secrets ]; then
  echo "make-secrets: they are there and are left as they are"
  exit 0
fi
mkdir secrets
password=$(random 24)
cat >secrets/redis.env <<END
url=redis://:$password@redis:6379/0
address=redis:6379
username=
password=$password
tls=disable
END
printf 'access-key=%s\nsecret-key=%s\n' "$(random 10)" "$(random 24)" >secrets/s3.env
printf 'metrics=mammo_%s_%s\npredict=mammo_%s_%s\n' "$(random 4)" "$(random 24)" "$(random 4)" "$(random 24)" >secrets/api-keys.env
printf 'token=%s\npacs-user=\npacs-password=\npacs-token=\n' "$(random 24)" >secrets/gateway.env
echo "make-secrets: secrets/ is made (mode 0700)"
