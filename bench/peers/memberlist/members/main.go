// Members of hashicorp/memberlist with its LAN defaults, of which some are killed: how long until all others know.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// watcher notes when its member hears of deaths.
type watcher struct {
	mutex sync.Mutex
	gone  map[string]time.Time
}

func (w *watcher) NotifyJoin(*memberlist.Node)   {}
func (w *watcher) NotifyUpdate(*memberlist.Node) {}
func (w *watcher) NotifyLeave(node *memberlist.Node) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.gone[node.Name] = time.Now()
}

func (w *watcher) heard(name string) (time.Time, bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	at, is := w.gone[name]
	return at, is
}

func (w *watcher) count() int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return len(w.gone)
}

type member struct {
	name    string
	list    *memberlist.Memberlist
	watcher *watcher
}

func main() {
	count := flag.Int("members", 100, "members")
	kills := flag.Int("kills", 20, "members that are killed")
	every := flag.Duration("every", time.Second, "from one kill to the next")
	seed := flag.Int64("seed", 1, "of the choice of whom to kill")
	limit := flag.Duration("limit", 2*time.Minute, "longest wait")
	flag.Parse()
	members := start(*count)
	deadline := time.Now().Add(*limit)
	for _, one := range members {
		for one.list.NumMembers() < *count {
			wait(deadline, "the members did not find each other")
		}
	}
	// Whoever joined last still has much to tell.
	time.Sleep(5 * time.Second)
	order := rand.New(rand.NewSource(*seed)).Perm(*count)
	killed := map[string]time.Time{}
	for _, at := range order[:*kills] {
		check(members[at].list.Shutdown())
		killed[members[at].name] = time.Now()
		time.Sleep(*every)
	}
	result := []float64{}
	deadline = time.Now().Add(*limit)
	for _, at := range order[:*kills] {
		name := members[at].name
		last := killed[name]
		for _, survivor := range order[*kills:] {
			heardAt, is := members[survivor].watcher.heard(name)
			for !is {
				wait(deadline, "not all have heard of "+name)
				heardAt, is = members[survivor].watcher.heard(name)
			}
			if heardAt.After(last) {
				last = heardAt
			}
		}
		result = append(result, float64(last.Sub(killed[name]).Microseconds())/1000)
	}
	falseDeaths := 0
	for _, survivor := range order[*kills:] {
		falseDeaths += members[survivor].watcher.count() - *kills
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{"knownToAllMs": result, "falseDeaths": falseDeaths}))
}

func start(count int) []*member {
	members := []*member{}
	for i := 0; i < count; i++ {
		one := &member{name: fmt.Sprintf("m%d", i), watcher: &watcher{gone: map[string]time.Time{}}}
		config := memberlist.DefaultLANConfig()
		config.Name = one.name
		config.BindAddr = "127.0.0.1"
		config.BindPort = 0
		config.AdvertisePort = 0
		config.Events = one.watcher
		config.Logger = log.New(io.Discard, "", 0)
		list, err := memberlist.Create(config)
		check(err)
		one.list = list
		members = append(members, one)
		if i > 0 {
			_, err := list.Join([]string{members[0].list.LocalNode().Address()})
			check(err)
		}
	}
	return members
}

func wait(deadline time.Time, what string) {
	if time.Now().After(deadline) {
		log.Fatal(what)
	}
	time.Sleep(10 * time.Millisecond)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
