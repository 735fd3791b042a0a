// etcd_puts: puts of 64 bytes to random keys of 100,000, a fixed number in flight, for so many seconds; prints puts a
// second.
//
//	etcd_puts ENDPOINT IN_FLIGHT SECONDS
package main

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/clientv3"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	inFlight, err := strconv.Atoi(os.Args[2])
	check(err)
	seconds, err := strconv.ParseFloat(os.Args[3], 64)
	check(err)
	const perConnection = 32
	value := strings.Repeat("x", 64)
	var done int64
	var all sync.WaitGroup
	var client *clientv3.Client
	start := time.Now()
	end := start.Add(time.Duration(seconds * float64(time.Second)))
	for i := 0; i < inFlight; i++ {
		if i%perConnection == 0 {
			client, err = clientv3.New(clientv3.Config{Endpoints: os.Args[1:2], DialTimeout: 5 * time.Second})
			check(err)
		}
		all.Add(1)
		go func(client *clientv3.Client, chance *rand.Rand) {
			defer all.Done()
			for time.Now().Before(end) {
				_, err := client.Put(context.Background(), fmt.Sprintf("key:%012d", chance.Intn(100000)), value)
				check(err)
				atomic.AddInt64(&done, 1)
			}
		}(client, rand.New(rand.NewSource(int64(i))))
	}
	all.Wait()
	fmt.Printf("%.0f\n", float64(done)/time.Since(start).Seconds())
}
