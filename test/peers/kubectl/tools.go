//go:build tools

// Package kubectl pins the real kubectl, so that the ordinary Go client builds it (scripts/build-peers.sh).
package kubectl

import _ "k8s.io/kubernetes/cmd/kubectl"
