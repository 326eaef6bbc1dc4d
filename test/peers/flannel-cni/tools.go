//go:build tools

// Package flannelcni pins flannel's CNI plugin as the CNI project released it last; since then it lives in a module of flannel's
// own, which the proxy does not serve.
package flannelcni

import _ "github.com/containernetworking/plugins/plugins/meta/flannel"
