//go:build tools

// Package kube_apiserver pins the real kube-apiserver, so that the ordinary Go client builds it (scripts/build-peers.sh).
package kube_apiserver

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
