#!/bin/sh
# Writes rules.yaml: the alerts of deploy/prometheus/alerts.yml as the Prometheus operator wants them.
set -eu
cd "$(dirname "$0")"
{
  echo '# Made by make-rules.sh of deploy/prometheus/alerts.yml; change that file and run it again.'
  echo 'apiVersion: monitoring.coreos.com/v1'
  echo 'kind: PrometheusRule'
  echo 'metadata:'
  echo '  name: mammostack'
  echo 'spec:'
  sed -n '/^groups:/,$ s/^\(.\)/  \1/p' ../../../prometheus/alerts.yml
} >rules.yaml
