// The etcd server as published, started as its own program does; built here so that both sides of the
// comparison come from a pinned version.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
