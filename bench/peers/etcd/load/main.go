// Puts from many callers against an etcd cluster, counted when acknowledged. One caller waits for its put
// before it sends the next, as etcd's own benchmark does. One line of JSON on standard output.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

type report struct {
	Puts         int     `json:"puts"`
	Errors       int64   `json:"errors"`
	Seconds      float64 `json:"seconds"`
	PutsPerSec   float64 `json:"putsPerSecond"`
	P50Ms        float64 `json:"p50Ms"`
	P99Ms        float64 `json:"p99Ms"`
	FirstFailure string  `json:"firstFailure,omitempty"`
}

func main() {
	endpoints := flag.String("endpoints", "127.0.0.1:2379", "comma-separated host:port")
	callers := flag.Int("callers", 256, "goroutines that put, each one at a time")
	connections := flag.Int("connections", 16, "gRPC connections the callers share")
	valueBytes := flag.Int("value-bytes", 256, "bytes in each value")
	warmup := flag.Duration("warmup", time.Second, "time before counting starts")
	duration := flag.Duration("duration", 5*time.Second, "time counted")
	flag.Parse()

	clients := make([]*clientv3.Client, min(*connections, *callers))
	servers := strings.Split(*endpoints, ",")
	for i := range clients {
		client, err := clientv3.New(clientv3.Config{
			// Each connection belongs to one member, so that the callers spread evenly.
			Endpoints:   []string{servers[i%len(servers)]},
			DialTimeout: 5 * time.Second,
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, "cannot connect:", err)
			os.Exit(1)
		}
		defer client.Close()
		clients[i] = client
	}

	start := time.Now().Add(*warmup)
	end := start.Add(*duration)
	// A put answered after the deadline is not counted; the grace only keeps a hung server from hanging us.
	ctx, cancel := context.WithDeadline(context.Background(), end.Add(10*time.Second))
	defer cancel()

	samples := make([][]time.Duration, *callers)
	var failures atomic.Int64
	var firstFailure atomic.Value
	var group sync.WaitGroup
	for caller := range *callers {
		group.Add(1)
		go func() {
			defer group.Done()
			client := clients[caller%len(clients)]
			value := make([]byte, *valueBytes)
			_, _ = rand.Read(value)
			for sequence := 0; ; sequence++ {
				sent := time.Now()
				if sent.After(end) {
					return
				}
				_, err := client.Put(ctx, fmt.Sprintf("message/%06d/%012d", caller, sequence), string(value))
				answered := time.Now()
				if err != nil {
					failures.Add(1)
					firstFailure.CompareAndSwap(nil, err.Error())
					if ctx.Err() != nil {
						return
					}
					continue
				}
				if answered.After(start) && !answered.After(end) {
					samples[caller] = append(samples[caller], answered.Sub(sent))
				}
			}
		}()
	}
	group.Wait()

	var all []time.Duration
	for _, of := range samples {
		all = append(all, of...)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	at := func(share float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return float64(all[min(len(all)-1, int(share*float64(len(all))))]) / float64(time.Millisecond)
	}
	result := report{
		Puts:       len(all),
		Errors:     failures.Load(),
		Seconds:    duration.Seconds(),
		PutsPerSec: float64(len(all)) / duration.Seconds(),
		P50Ms:      at(0.5),
		P99Ms:      at(0.99),
	}
	if text, ok := firstFailure.Load().(string); ok {
		result.FirstFailure = text
	}
	_ = json.NewEncoder(os.Stdout).Encode(result)
}
