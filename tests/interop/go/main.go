// A client on grpc-go, as Debian has it, that tests a server of each kind: gRPC's TestService and
// kvstore's own. Runs the cases named and prints a line for each: "CASE passed", or "CASE failed: WHY".
//
//	client --test-service=ADDRESS --kvstore=ADDRESS CASE...
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
)

// How long an event may take before a case gives up.
const patience = 60 * time.Second

// What a case works on.
type world struct {
	testService, kvstore string // addresses; of TestService there may be several, with commas
}

var cases = map[string]func(context.Context, *world) error{
	"unary":            unary,
	"server_stream":    serverStream,
	"client_stream":    clientStream,
	"bidi":             bidi,
	"large_messages":   largeMessages,
	"large_windows":    largeWindows,
	"compressed":       compressed,
	"metadata":         echoMetadata,
	"status_text":      statusText,
	"deadline":         deadline,
	"cancellation":     cancellation,
	"unimplemented":    unimplemented,
	"thousand_calls":   thousandCalls,
	"thousand_streams": thousandStreams,
	"keepalive":        keepalivePings,
	"frozen_service":   frozenService,
	"data_service":     dataService,
	"health_watch":     healthWatch,
	"health_probe":     healthProbe,
	"reflection":       reflection,
	"graceful_stop":    gracefulStop,
	"stopped_streams":  stoppedStreams,
	"rolling_stop":     rollingStop,
}

func dial(address string, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	options = append(options, grpc.WithInsecure(), grpc.WithBlock(), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return grpc.DialContext(ctx, address, options...)
}

func run(name string, w *world) error {
	test, known := cases[name]
	if !known {
		return fmt.Errorf("there is no such case")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return test(ctx, w)
}

func main() {
	var w world
	flag.StringVar(&w.testService, "test-service", "", "address of a server with TestService")
	flag.StringVar(&w.kvstore, "kvstore", "", "address of a kvstore server")
	flag.Parse()
	for _, name := range flag.Args() {
		if err := run(name, &w); err != nil {
			fmt.Printf("%s failed: %v\n", name, err)
			os.Exit(1)
		}
		fmt.Printf("%s passed\n", name)
	}
}
