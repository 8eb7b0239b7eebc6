//go:build !nocloud

package firestore

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"nearline/features"
	"nearline/features/storetest"
)

var view = storetest.View

// opened closes the store at the end of the test.
func opened(t *testing.T, c Config) *Store {
	t.Helper()
	if err := c.Validate("features.store.firestore"); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// putError is what the store says of a put that cannot be.
func putError(t *testing.T, s *Store, e features.Entry) error {
	t.Helper()
	_, err := s.Put(t.Context(), []features.Entry{e})
	return err
}

func mustPut(t *testing.T, s *Store, entries ...features.Entry) {
	t.Helper()
	if _, err := s.Put(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, want := range texts {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %s", err, want)
		}
	}
}

// keyOf an id, as other tools may find it.
func keyOf(t *testing.T, id string) string {
	t.Helper()
	if id == "%" {
		return ""
	}
	var key []byte
	for i := 0; i < len(id); i++ {
		if id[i] != '%' {
			key = append(key, id[i])
			continue
		}
		b, err := strconv.ParseUint(id[i+1:i+3], 16, 8)
		if err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		key = append(key, byte(b))
		i += 2
	}
	return string(key)
}

func TestIDsAreKeysAsFarAsFirestoreTakesThem(t *testing.T) {
	for key, want := range map[string]string{
		"4711": "4711", "a b:c#d": "a b:c#d", "日本語": "日本語", "\uFFFD": "\uFFFD",
		"": "%", "%": "%25", "a/b": "a%2Fb", ".": "%2E", "..": "%2E.", "...": "...", "__a__": "%5F_a__", "__a": "__a", "\x00\n": "%00%0A", "a\xffb": "a%FFb",
		strings.Repeat("x", 1500): strings.Repeat("x", 1500),
	} {
		if got := idOf(key); got != want {
			t.Errorf("the id of %q is %q, want %q", key, got, want)
		}
	}
	long := idOf(strings.Repeat("x", 1501))
	if raw, err := hex.DecodeString(strings.TrimPrefix(long, "%:")); err != nil || len(raw) != 32 {
		t.Errorf("the id of a long key is %s, want %%: and a SHA-256", long)
	}
}

func FuzzKeysComeBackFromIDs(f *testing.F) {
	for _, key := range []string{"", "%", "%%", "%2F", "/", ".", "..", "__", "____", "__a__", "a", "\x00", "\xff\xfe", "\uFFFD", "日本/語", "%:" + strings.Repeat("0", 64)} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		id := idOf(key)
		if !utf8.ValidString(id) || strings.Contains(id, "/") || id == "" || id == "." || id == ".." || strings.HasPrefix(id, "__") && strings.HasSuffix(id, "__") || len(id) > maxID {
			t.Errorf("the id of %q is %q, which Firestore does not take", key, id)
		}
		if strings.HasPrefix(id, "%:") {
			return
		}
		if got := keyOf(t, id); got != key {
			t.Errorf("of %q comes back %q", key, got)
		}
	})
}

func TestTheYoungestIsWrittenAsIfOneByOne(t *testing.T) {
	of := func(texts string) (entries []features.Entry, places []int) {
		for i, text := range strings.Fields(texts) {
			source, offset, _ := strings.Cut(text, ":")
			n, err := strconv.ParseInt(offset, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			entries, places = append(entries, features.Entry{Source: source, Offset: n}), append(places, i)
		}
		return entries, places
	}
	for _, c := range []struct {
		have    version
		entries string
		want    int
	}{
		{version{}, "a:0", 0},
		{version{"a", 5, true}, "a:5", -1},
		{version{"a", 5, true}, "a:6", 0},
		{version{"a", 5, true}, "b:1", 0},
		{version{"a", 5, true}, "a:7 a:9 a:8", 1},
		{version{"a", 5, true}, "a:4 b:1 a:3", 2}, // after b it is another's
		{version{"a", 5, true}, "a:4 a:3", -1},
	} {
		entries, places := of(c.entries)
		if got, _ := youngest(entries, places, c.have); got != c.want {
			t.Errorf("of %s after %v it is %d, want %d", c.entries, c.have, got, c.want)
		}
	}
}

// answering is what the test says in place of Firestore.
type answering struct {
	firestorepb.UnimplementedFirestoreServer
	read  func(*firestorepb.BatchGetDocumentsRequest) error
	write func(*firestorepb.BatchWriteRequest) (*firestorepb.BatchWriteResponse, error)
}

func (a *answering) BatchGetDocuments(r *firestorepb.BatchGetDocumentsRequest, _ firestorepb.Firestore_BatchGetDocumentsServer) error {
	return a.read(r)
}

func (a *answering) BatchWrite(_ context.Context, r *firestorepb.BatchWriteRequest) (*firestorepb.BatchWriteResponse, error) {
	return a.write(r)
}

func (a *answering) serve(t *testing.T) Config {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	firestorepb.RegisterFirestoreServer(server, a)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := DefaultConfig()
	c.Project, c.Emulator, c.Timeout = "project", listener.Addr().String(), time.Minute
	return c
}

func TestWhatWasOvertakenIsReadAgain(t *testing.T) {
	var reads, writes []int
	a := &answering{
		read: func(r *firestorepb.BatchGetDocumentsRequest) error {
			reads = append(reads, len(r.GetDocuments()))
			return nil
		},
		write: func(r *firestorepb.BatchWriteRequest) (*firestorepb.BatchWriteResponse, error) {
			writes = append(writes, len(r.GetWrites()))
			said := &firestorepb.BatchWriteResponse{}
			for i := range r.GetWrites() {
				of := status.New(codes.OK, "")
				if i > 0 {
					of = status.New([]codes.Code{codes.FailedPrecondition, codes.AlreadyExists, codes.NotFound, codes.Aborted}[i-1], "said the test")
				}
				said.Status = append(said.Status, of.Proto())
			}
			return said, nil
		},
	}
	s := opened(t, a.serve(t))
	mustPut(t, s, storetest.Entry("a", 1), storetest.Entry("b", 1), storetest.Entry("c", 1), storetest.Entry("d", 1), storetest.Entry("e", 1))
	if want := "[5 4 3 2 1]"; fmt.Sprint(reads) != want || fmt.Sprint(writes) != want {
		t.Errorf("got reads %v and writes %v of documents, want %s", reads, writes, want)
	}
}

func TestARefusalThatStaysIsAnError(t *testing.T) {
	n := 0
	a := &answering{
		read: func(*firestorepb.BatchGetDocumentsRequest) error { return nil },
		write: func(*firestorepb.BatchWriteRequest) (*firestorepb.BatchWriteResponse, error) {
			n++
			said := &firestorepb.BatchWriteResponse{}
			said.Status = append(said.Status, status.New(codes.PermissionDenied, "said the test").Proto())
			return said, nil
		},
	}
	s := opened(t, a.serve(t))
	wants(t, putError(t, s, storetest.Entry("a/b", 1)), "put 1 entries", "nearline-view/a%2Fb", "said the test")
	if n != 1 {
		t.Errorf("it was tried %d times, want once", n)
	}
}

// A server that says of which document it is, and one that refuses the whole request.
func TestADocumentThatIsRefusedForItsOwnSakeHurtsNobodyElse(t *testing.T) {
	for _, whole := range []bool{false, true} {
		var taken []string
		a := &answering{
			read: func(*firestorepb.BatchGetDocumentsRequest) error { return nil },
			write: func(r *firestorepb.BatchWriteRequest) (*firestorepb.BatchWriteResponse, error) {
				said, names := &firestorepb.BatchWriteResponse{}, []string(nil)
				for _, w := range r.GetWrites() {
					of, name := status.New(codes.OK, ""), w.GetUpdate().GetName()
					if bad := w.GetUpdate().GetFields()[offsetField].GetIntegerValue() >= 100; bad && whole {
						return nil, status.Error(codes.InvalidArgument, "said the test")
					} else if bad {
						of = status.New(codes.InvalidArgument, "said the test")
					} else {
						names = append(names, name[strings.LastIndex(name, "/")+1:]+fmt.Sprint(w.GetUpdate().GetFields()[offsetField].GetIntegerValue()))
					}
					said.Status = append(said.Status, of.Proto())
				}
				taken = append(taken, names...)
				return said, nil
			},
		}
		s := opened(t, a.serve(t))
		outcome, err := s.Put(t.Context(), []features.Entry{
			storetest.Entry("a", 1), storetest.Entry("b", 2), storetest.Entry("b", 100), storetest.Entry("c", 101), storetest.Entry("d", 4), storetest.Entry("b", 102),
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(taken)
		if want := "[a1 b2 d4]"; fmt.Sprint(taken) != want {
			t.Errorf("whole requests %v: documents %v were taken, want %s", whole, taken, want)
		}
		var places []int
		for _, unfit := range outcome.Unfit {
			wants(t, unfit.Err, "said the test")
			places = append(places, unfit.Place)
		}
		if want := "[2 3 5]"; fmt.Sprint(places) != want || outcome.Newer != 0 {
			t.Errorf("whole requests %v: got %+v, want places %s refused", whole, outcome, want)
		}
	}
}

func TestWhatIsWrongSaysWhatToLookAt(t *testing.T) {
	var said error
	a := &answering{read: func(*firestorepb.BatchGetDocumentsRequest) error { return said }}
	s := opened(t, a.serve(t))
	for _, c := range []struct {
		code codes.Code
		want []string
	}{
		{codes.PermissionDenied, []string{"roles/datastore.user"}},
		{codes.NotFound, []string{"gcloud firestore databases create --project=project --database='(default)'", "--type=firestore-native"}},
		{codes.FailedPrecondition, []string{"native mode"}},
		{codes.Unimplemented, []string{"project and emulator"}},
	} {
		said = status.Error(c.code, "said the test")
		wants(t, s.Ping(t.Context()), append(c.want, `features.store.firestore.database is "(default)"`, "said the test")...)
	}
	said = status.Error(codes.NotFound, "said the test")
	_, err := s.Get(t.Context(), view, []string{"a"})
	wants(t, err, "1 keys of view view", "gcloud firestore databases create")
	_, err = s.Filling(t.Context(), "view")
	wants(t, err, "gcloud firestore databases create")
	wants(t, putError(t, s, storetest.Entry("a", 1)), "gcloud firestore databases create")
}

func TestALookupThatIsNotAnsweredEndsAtItsTimeout(t *testing.T) {
	release := make(chan struct{})
	a := &answering{read: func(*firestorepb.BatchGetDocumentsRequest) error {
		<-release
		return nil
	}}
	c := a.serve(t)
	t.Cleanup(func() { close(release) })
	c.Timeout = 100 * time.Millisecond
	_, err := opened(t, c).Get(t.Context(), view, []string{"a"})
	wants(t, err, "features.store.firestore.timeout", "100ms", "1 keys of view view")
}
