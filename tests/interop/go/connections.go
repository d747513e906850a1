package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	testing "kvstore/grpc/testing"
)

const (
	pingInterval = 10 * time.Second // the least that grpc-go allows
	pingsAwaited = 4                // the C core's servers end a connection at the third that they mind
)

// Sees what the server sends on a connection on which nothing happens: each ping's answer.
type watchedConn struct {
	net.Conn
	answered chan<- struct{}
	partial  []byte
}

func (conn *watchedConn) Read(buffer []byte) (int, error) {
	n, err := conn.Conn.Read(buffer)
	conn.partial = append(conn.partial, buffer[:n]...)
	for len(conn.partial) >= 9 {
		length := 9 + (int(conn.partial[0])<<16 | int(conn.partial[1])<<8 | int(conn.partial[2]))
		if len(conn.partial) < length {
			break
		}
		const ping, acknowledgement = 6, 1
		if conn.partial[3] == ping && conn.partial[4]&acknowledgement != 0 {
			conn.answered <- struct{}{}
		}
		conn.partial = conn.partial[length:]
	}
	return n, err
}

// An idle connection whose client pings is neither ended nor replaced.
func keepalivePings(ctx context.Context, w *world) error {
	ctx, cancel := context.WithTimeout(ctx, patience+pingsAwaited*pingInterval)
	defer cancel()
	answered := make(chan struct{}, 1000)
	var lock sync.Mutex
	dialled := 0
	connection, err := dial(w.testService,
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: pingInterval, Timeout: patience, PermitWithoutStream: true}),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			lock.Lock()
			dialled++
			lock.Unlock()
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			return &watchedConn{Conn: conn, answered: answered}, err
		}))
	if err != nil {
		return err
	}
	defer connection.Close()
	for i := 0; i < pingsAwaited; i++ {
		select {
		case <-answered:
		case <-ctx.Done():
			return fmt.Errorf("%d pings were answered, not %d", i, pingsAwaited)
		}
	}
	if err = callUnary(ctx, testing.NewTestServiceClient(connection), 1, 1); err != nil {
		return err
	}
	lock.Lock()
	defer lock.Unlock()
	if dialled != 1 {
		return fmt.Errorf("the client connected %d times", dialled)
	}
	return nil
}

const streamsAtStop = 20

// Streams that are open when the server begins to stop talk on until they end, while new calls are
// refused. Prints "running" when they are open.
func stoppedStreams(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		var streams [streamsAtStop]testing.TestService_FullDuplexCallClient
		for i := range streams {
			stream, err := client.FullDuplexCall(ctx)
			if err == nil {
				err = pingPong(stream, i)
			}
			if err != nil {
				return err
			}
			streams[i] = stream
		}
		fmt.Println("running")
		var err error
		for err == nil {
			err = callUnary(ctx, client, 1, 1)
		}
		if status.Code(err) != codes.Unavailable {
			return fmt.Errorf("a new call ended with %v", err)
		}
		for i, stream := range streams {
			if err = pingPong(stream, 100000); err != nil {
				return fmt.Errorf("stream %d: %v", i, err)
			}
			if err = endStream(stream); err != nil {
				return fmt.Errorf("stream %d: %v", i, err)
			}
		}
		return nil
	})
}

const (
	callers         = 16
	callsBeforeStop = 2000
)

// A client of several servers that repeats what was UNAVAILABLE sees no failure when one of them
// stops. Prints "running" when one may; a line on standard input says that it has.
func rollingStop(ctx context.Context, w *world) error {
	servers, cleanup := manual.GenerateAndRegisterManualResolver()
	defer cleanup()
	addresses := []resolver.Address{}
	for _, address := range strings.Split(w.testService, ",") {
		addresses = append(addresses, resolver.Address{Addr: address})
	}
	servers.InitialState(resolver.State{Addresses: addresses})
	connection, err := dial(servers.Scheme()+":///test-service", grpc.WithBalancerName(roundrobin.Name))
	if err != nil {
		return err
	}
	defer connection.Close()
	client := testing.NewTestServiceClient(connection)
	stopped := make(chan struct{})
	go func() {
		bufio.NewReader(os.Stdin).ReadString('\n')
		close(stopped)
	}()
	var done int64
	return atOnce(callers, func(int) error {
		for {
			err := callUnary(ctx, client, 1, 1, grpc.WaitForReady(true))
			if status.Code(err) == codes.Unavailable {
				continue
			}
			if err != nil {
				return err
			}
			if atomic.AddInt64(&done, 1) == callsBeforeStop {
				fmt.Println("running")
			}
			select {
			case <-stopped:
				return nil
			default:
			}
		}
	})
}
