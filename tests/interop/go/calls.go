package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	testing "kvstore/grpc/testing"
)

const (
	mib          = 1 << 20
	echoInitial  = "x-grpc-test-echo-initial"
	echoTrailing = "x-grpc-test-echo-trailing-bin"
	special      = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
)

// What the cases of TestService have: a connection of its own and the stub.
func onTestService(w *world, test func(testing.TestServiceClient) error,
	options ...grpc.DialOption) error {
	connection, err := dial(w.testService, options...)
	if err != nil {
		return err
	}
	defer connection.Close()
	return test(testing.NewTestServiceClient(connection))
}

func simple(size, responseSize int) *testing.SimpleRequest {
	return &testing.SimpleRequest{ResponseSize: int32(responseSize),
		Payload: &testing.Payload{Body: make([]byte, size)}}
}

func wanting(sizes ...int) *testing.StreamingOutputCallRequest {
	request := &testing.StreamingOutputCallRequest{}
	for _, size := range sizes {
		request.ResponseParameters = append(request.ResponseParameters,
			&testing.ResponseParameters{Size: int32(size)})
	}
	return request
}

func expectSize(payload *testing.Payload, size int) error {
	if len(payload.GetBody()) != size {
		return fmt.Errorf("a payload has %d bytes, not %d", len(payload.GetBody()), size)
	}
	return nil
}

func expectCode(err error, code codes.Code) error {
	if status.Code(err) != code {
		return fmt.Errorf("the call ended with %v, not with %v", err, code)
	}
	return nil
}

func callUnary(ctx context.Context, client testing.TestServiceClient, size, responseSize int,
	options ...grpc.CallOption) error {
	answer, err := client.UnaryCall(ctx, simple(size, responseSize), options...)
	if err != nil {
		return err
	}
	return expectSize(answer.Payload, responseSize)
}

func unary(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		if _, err := client.EmptyCall(ctx, &testing.Empty{}); err != nil {
			return err
		}
		for _, size := range []int{0, 1, 16383, 16384, 65535, 65536, 314159} {
			if err := callUnary(ctx, client, size, size); err != nil {
				return err
			}
		}
		return nil
	})
}

// Many times the window, at which grpc-go measures the path with pings of its own.
func serverStream(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		sizes := []int{}
		for i := 0; i < 300; i++ {
			sizes = append(sizes, 0, i, 200000+i)
		}
		stream, err := client.StreamingOutputCall(ctx, wanting(sizes...))
		if err != nil {
			return err
		}
		for _, size := range sizes {
			answer, err := stream.Recv()
			if err != nil {
				return err
			}
			if err = expectSize(answer.Payload, size); err != nil {
				return err
			}
		}
		if _, err = stream.Recv(); err != io.EOF {
			return fmt.Errorf("the stream ended with %v", err)
		}
		return nil
	})
}

func clientStream(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		stream, err := client.StreamingInputCall(ctx)
		if err != nil {
			return err
		}
		total := 0
		for i := 0; i < 500; i++ {
			body := make([]byte, i*300)
			total += len(body)
			request := &testing.StreamingInputCallRequest{Payload: &testing.Payload{Body: body}}
			if err = stream.Send(request); err != nil {
				return err
			}
		}
		answer, err := stream.CloseAndRecv()
		if err == nil && int(answer.AggregatedPayloadSize) != total {
			err = fmt.Errorf("%d bytes arrived, not %d", answer.AggregatedPayloadSize, total)
		}
		return err
	})
}

func pingPong(stream testing.TestService_FullDuplexCallClient, size int) error {
	if err := stream.Send(wanting(size)); err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err != nil {
		return err
	}
	return expectSize(answer.Payload, size)
}

func endStream(stream testing.TestService_FullDuplexCallClient) error {
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("the stream ended with %v", err)
	}
	return nil
}

func bidi(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		stream, err := client.FullDuplexCall(ctx)
		for size := 0; err == nil && size < 500; size++ {
			err = pingPong(stream, size)
		}
		if err != nil {
			return err
		}
		return endStream(stream)
	})
}

func largeMessages(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		return callUnary(ctx, client, 8*mib, 8*mib)
	})
}

// A client that takes a reply in one go; grpc-go then leaves its windows as they are.
func largeWindows(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		return atOnce(4, func(int) error { return callUnary(ctx, client, 8*mib, 8*mib) })
	}, grpc.WithInitialWindowSize(16*mib), grpc.WithInitialConnWindowSize(64*mib))
}

func compressed(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		request := simple(271828, 314159)
		request.ExpectCompressed = &testing.BoolValue{Value: true}
		answer, err := client.UnaryCall(ctx, request, grpc.UseCompressor(gzip.Name))
		if err != nil {
			return err
		}
		if err = expectSize(answer.Payload, 314159); err != nil {
			return err
		}
		stream, err := client.StreamingInputCall(ctx, grpc.UseCompressor(gzip.Name))
		for i := 0; err == nil && i < 3; i++ {
			err = stream.Send(&testing.StreamingInputCallRequest{
				Payload:          &testing.Payload{Body: make([]byte, 50000)},
				ExpectCompressed: &testing.BoolValue{Value: true}})
		}
		if err != nil {
			return err
		}
		_, err = stream.CloseAndRecv()
		return err
	})
}

func expectEcho(header, trailer metadata.MD, initial, trailing string) error {
	if got := header.Get(echoInitial); len(got) != 1 || got[0] != initial {
		return fmt.Errorf("the initial metadata came back as %q", got)
	}
	if got := trailer.Get(echoTrailing); len(got) != 1 || !bytes.Equal([]byte(got[0]), []byte(trailing)) {
		return fmt.Errorf("the trailing metadata came back as %q", got)
	}
	return nil
}

func echoMetadata(ctx context.Context, w *world) error {
	initial, trailing := "test_initial_metadata_value", "\x0a\x0b\x0a\x0b\x0a\x0b\xff\x00"
	ctx = metadata.AppendToOutgoingContext(ctx, echoInitial, initial, echoTrailing, trailing)
	return onTestService(w, func(client testing.TestServiceClient) error {
		var header, trailer metadata.MD
		err := callUnary(ctx, client, 1, 1, grpc.Header(&header), grpc.Trailer(&trailer))
		if err == nil {
			err = expectEcho(header, trailer, initial, trailing)
		}
		if err != nil {
			return err
		}
		stream, err := client.FullDuplexCall(ctx)
		if err == nil {
			err = pingPong(stream, 3)
		}
		if err == nil {
			header, err = stream.Header()
		}
		if err == nil {
			err = endStream(stream)
		}
		if err != nil {
			return err
		}
		return expectEcho(header, stream.Trailer(), initial, trailing)
	})
}

func statusText(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		request := simple(1, 1)
		request.ResponseStatus = &testing.EchoStatus{Code: int32(codes.DataLoss), Message: special}
		_, err := client.UnaryCall(ctx, request)
		if status.Convert(err).Message() != special {
			return fmt.Errorf("the text came as %q", status.Convert(err).Message())
		}
		return expectCode(err, codes.DataLoss)
	})
}

func deadline(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		stream, err := client.FullDuplexCall(short)
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		if err = expectCode(err, codes.DeadlineExceeded); err != nil {
			return err
		}
		return callUnary(ctx, client, 1, 1)
	})
}

// Whether the call was cancelled while its client read a message: grpc-go 1.33 then reports either
// Canceled or this, whatever the server.
func wasCutShort(err error) bool {
	return status.Code(err) == codes.Internal && status.Convert(err).Message() == "unexpected EOF"
}

func cancellation(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		sizes := make([]int, 10000)
		for i := range sizes {
			sizes[i] = 100000
		}
		for i := 0; i < 20; i++ {
			cancellable, cancel := context.WithCancel(ctx)
			stream, err := client.StreamingOutputCall(cancellable, wanting(sizes...))
			if err == nil && i%2 == 0 {
				_, err = stream.Recv()
			}
			cancel()
			for err == nil {
				_, err = stream.Recv()
			}
			if wasCutShort(err) {
				continue
			}
			if err = expectCode(err, codes.Canceled); err != nil {
				return err
			}
		}
		return callUnary(ctx, client, 1, 1)
	})
}

func unimplemented(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		_, err := client.UnimplementedCall(ctx, &testing.Empty{})
		return expectCode(err, codes.Unimplemented)
	})
}

// Runs it `count` times at once; returns the first error.
func atOnce(count int, do func(int) error) error {
	errors := make(chan error, count)
	for i := 0; i < count; i++ {
		go func(i int) { errors <- do(i) }(i)
	}
	var first error
	for i := 0; i < count; i++ {
		if err := <-errors; err != nil && first == nil {
			first = err
		}
	}
	return first
}

func thousandCalls(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		return atOnce(1000, func(i int) error { return callUnary(ctx, client, i, 1000-i) })
	})
}

// None ends before all are open.
func thousandStreams(ctx context.Context, w *world) error {
	return onTestService(w, func(client testing.TestServiceClient) error {
		var open sync.WaitGroup
		open.Add(1000)
		return atOnce(1000, func(i int) error {
			stream, err := client.FullDuplexCall(ctx)
			if err == nil {
				err = pingPong(stream, i)
			}
			open.Done()
			open.Wait()
			if err == nil {
				err = pingPong(stream, 1000-i)
			}
			if err != nil {
				return err
			}
			return endStream(stream)
		})
	})
}
