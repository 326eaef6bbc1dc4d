//go:build tools

// Package flanneld pins the real flanneld, so that the ordinary Go client builds it (scripts/build-peers.sh).
package flanneld

import _ "github.com/flannel-io/flannel"
