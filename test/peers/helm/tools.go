//go:build tools

// Package helm pins the real helm, so that the ordinary Go client builds it (scripts/build-peers.sh).
package helm

import _ "helm.sh/helm/v3/cmd/helm"
