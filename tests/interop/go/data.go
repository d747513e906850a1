package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"kvstore/v1/kvstorepb"
)

func withVersion(version uint64) *kvstorepb.Condition {
	return &kvstorepb.Condition{Kind: &kvstorepb.Condition_Version{Version: version}}
}

// What is read back, and a condition that does not hold with what its ErrorInfo says.
func conditionalSet(ctx context.Context, client kvstorepb.KeyValueServiceClient, key string) error {
	value := bytes.Repeat([]byte{0, 255}, mib)
	set, err := client.Set(ctx, &kvstorepb.SetRequest{Key: key, Value: value})
	if err != nil {
		return err
	}
	got, err := client.Get(ctx, &kvstorepb.GetRequest{Key: key})
	if err != nil || !bytes.Equal(got.Entry.GetValue(), value) || got.Entry.GetVersion() != set.Version {
		return fmt.Errorf("Get: version %d, not %d, %v", got.GetEntry().GetVersion(), set.GetVersion(), err)
	}
	_, err = client.Set(ctx, &kvstorepb.SetRequest{Key: key, Condition: withVersion(set.Version + 1)})
	if failed := expectCode(err, codes.FailedPrecondition); failed != nil {
		return failed
	}
	for _, detail := range status.Convert(err).Details() {
		info, is := detail.(*errdetails.ErrorInfo)
		if is && info.Reason == "CONDITION_NOT_MET" &&
			info.Metadata["current_version"] == fmt.Sprint(set.Version) {
			return nil
		}
	}
	return fmt.Errorf("no ErrorInfo in %v", err)
}

func transaction(ctx context.Context, client kvstorepb.KeyValueServiceClient, key string) error {
	get := &kvstorepb.Operation{Kind: &kvstorepb.Operation_Get{Get: &kvstorepb.GetRequest{Key: key}}}
	add := &kvstorepb.Operation{Kind: &kvstorepb.Operation_Increment{
		Increment: &kvstorepb.IncrementRequest{Key: key + "/n", Delta: -7}}}
	missing := &kvstorepb.Condition{Kind: &kvstorepb.Condition_Exists{Exists: false}}
	done, err := client.Transaction(ctx, &kvstorepb.TransactionRequest{
		Comparisons: []*kvstorepb.Comparison{{Key: key, Condition: missing}},
		Success:     []*kvstorepb.Operation{get}, Failure: []*kvstorepb.Operation{get, add}})
	if err != nil || done.Succeeded || len(done.Results) != 2 || done.Results[1].GetIncrement().GetValue() != -7 {
		return fmt.Errorf("Transaction: %v", err)
	}
	return nil
}

func scanned(ctx context.Context, client kvstorepb.KeyValueServiceClient, prefix string) ([]string, error) {
	var keys []string
	stream, err := client.Scan(ctx, &kvstorepb.ScanRequest{
		Range: &kvstorepb.KeyRange{Prefix: prefix}, Descending: true})
	for err == nil {
		var part *kvstorepb.ScanResponse
		if part, err = stream.Recv(); err == nil {
			for _, entry := range part.Entries {
				keys = append(keys, entry.Key)
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	return keys, err
}

func dataService(ctx context.Context, w *world) error {
	return onKvstore(w, func(connection *grpc.ClientConn) error {
		client := kvstorepb.NewKeyValueServiceClient(connection)
		for _, test := range []func(context.Context, kvstorepb.KeyValueServiceClient, string) error{
			conditionalSet, transaction} {
			if err := test(ctx, client, "data/ü"); err != nil {
				return err
			}
		}
		keys, err := scanned(ctx, client, "data/")
		if err != nil || len(keys) != 2 || keys[0] != "data/ü/n" || keys[1] != "data/ü" {
			return fmt.Errorf("Scan: %v, %v", keys, err)
		}
		deleted, err := client.DeleteRange(ctx, &kvstorepb.DeleteRangeRequest{
			Range: &kvstorepb.KeyRange{Prefix: "data/"}})
		if err != nil || deleted.Count != 2 {
			return fmt.Errorf("DeleteRange: %d, %v", deleted.GetCount(), err)
		}
		return nil
	})
}
