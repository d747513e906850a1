package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	frozen "kvstore/frozen"
)

func onKvstore(w *world, test func(*grpc.ClientConn) error) error {
	connection, err := dial(w.kvstore)
	if err != nil {
		return err
	}
	defer connection.Close()
	return test(connection)
}

func frozenService(ctx context.Context, w *world) error {
	return onKvstore(w, func(connection *grpc.ClientConn) error {
		client := frozen.NewKeyValueStoreClient(connection)
		value := bytes.Repeat([]byte{0, 255, 7}, mib)
		if _, err := client.Set(ctx, &frozen.SetRequest{Key: "go ü", Value: value}); err != nil {
			return err
		}
		got, err := client.Get(ctx, &frozen.GetRequest{Key: "go ü"})
		if err != nil || !bytes.Equal(got.Value, value) {
			return fmt.Errorf("Get: %d bytes, %v", len(got.GetValue()), err)
		}
		keys, err := client.Keys(ctx, &frozen.KeysRequest{})
		if err != nil || len(keys.Keys) != 1 || keys.Keys[0] != "go ü" {
			return fmt.Errorf("Keys: %v, %v", keys.GetKeys(), err)
		}
		for _, there := range []bool{true, false} {
			deleted, err := client.Del(ctx, &frozen.DelRequest{Key: "go ü"})
			if err != nil || deleted.Success != there {
				return fmt.Errorf("Del: %v, %v", deleted.GetSuccess(), err)
			}
		}
		_, err = client.Set(ctx, &frozen.SetRequest{})
		return expectCode(err, codes.InvalidArgument)
	})
}

func healthWatch(ctx context.Context, w *world) error {
	return onKvstore(w, func(connection *grpc.ClientConn) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		watch, err := health.NewHealthClient(connection).Watch(ctx, &health.HealthCheckRequest{})
		if err != nil {
			return err
		}
		answer, err := watch.Recv()
		if err != nil || answer.Status != health.HealthCheckResponse_SERVING {
			return fmt.Errorf("Watch: %v, %v", answer.GetStatus(), err)
		}
		cancel()
		_, err = watch.Recv()
		return expectCode(err, codes.Canceled)
	})
}

// As the native probes of Kubernetes ask: one Check for each connection, in plaintext.
func healthProbe(_ context.Context, w *world) error {
	for _, service := range []string{"", "kvstore.KeyValueStore"} {
		connection, err := dial(w.kvstore, grpc.WithUserAgent("kube-probe/1.27"))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		answer, err := health.NewHealthClient(connection).Check(ctx,
			&health.HealthCheckRequest{Service: service})
		cancel()
		connection.Close()
		if err != nil || answer.Status != health.HealthCheckResponse_SERVING {
			return fmt.Errorf("Check of %q: %v, %v", service, answer.GetStatus(), err)
		}
	}
	return nil
}

func reflection(ctx context.Context, w *world) error {
	return onKvstore(w, func(connection *grpc.ClientConn) error {
		stream, err := grpc_reflection_v1alpha.NewServerReflectionClient(connection).
			ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		err = stream.Send(&grpc_reflection_v1alpha.ServerReflectionRequest{
			MessageRequest: &grpc_reflection_v1alpha.ServerReflectionRequest_ListServices{}})
		if err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		names := map[string]bool{}
		for _, service := range answer.GetListServicesResponse().GetService() {
			names[service.Name] = true
		}
		if !names["kvstore.KeyValueStore"] || !names["grpc.health.v1.Health"] {
			return fmt.Errorf("the services are %v", names)
		}
		if err = stream.CloseSend(); err != nil {
			return err
		}
		if _, err = stream.Recv(); err != io.EOF {
			return fmt.Errorf("the stream ended with %v", err)
		}
		return nil
	})
}

const (
	writers       = 32
	setsBeforeEnd = 2000 // then the server may be stopped
)

// Sets one key after the other until the server refuses one because it stops. Prints the keys that
// it has taken, as "set KEY", and those that it has refused, as "refused KEY".
func gracefulStop(ctx context.Context, w *world) error {
	return onKvstore(w, func(connection *grpc.ClientConn) error {
		client := frozen.NewKeyValueStoreClient(connection)
		var done int64
		var printing sync.Mutex
		say := func(format string, arguments ...interface{}) {
			printing.Lock()
			defer printing.Unlock()
			fmt.Printf(format+"\n", arguments...)
		}
		return atOnce(writers, func(writer int) error {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d", writer, i)
				_, err := client.Set(ctx, &frozen.SetRequest{Key: key, Value: []byte(key)})
				if status.Code(err) == codes.Unavailable {
					say("refused %s", key)
					return nil
				}
				if err != nil {
					return fmt.Errorf("Set of %s: %v", key, err)
				}
				say("set %s", key)
				if atomic.AddInt64(&done, 1) == setsBeforeEnd {
					say("running")
				}
			}
		})
	})
}
