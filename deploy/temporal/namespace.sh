#!/bin/sh
# Make the namespace, or set how long it keeps finished workflows: Temporal forgets a batch's history this
# long after its end.
#
# Environment: TEMPORAL_ADDRESS (and Temporal's other variables: TLS, API key), TEMPORAL_NAMESPACE,
# TEMPORAL_RETENTION such as 72h or 30d (an hour at least). Needs Temporal's command line.
set -eu

if said=$(temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" 2>&1); then
    temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "$TEMPORAL_RETENTION"
else
    case $said in
        *[Nn]ot*found*) ;;
        *) echo "$said" >&2; exit 1 ;;
    esac
    temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$TEMPORAL_RETENTION"
fi
