//go:build synctests && !nocloud

package mskiam_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	saslaws "github.com/twmb/franz-go/pkg/sasl/aws"

	"nearline/kafka/mskiam"
)

// What AWS publishes to check signers by: "Create a signed AWS API request", the example of IAM's ListUsers (20150830, us-east-1).
const (
	exampleAccess    = "AKIDEXAMPLE"
	exampleKey       = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	exampleSignature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
	exampleRequest   = "GET\n/\nAction=ListUsers&Version=2010-05-08\ncontent-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\n" +
		"x-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\n" + emptyBody
	emptyBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// sign as the document says, in four steps.
func sign(key, stamp, region, service, canonical string) string {
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	hash := sha256.Sum256([]byte(canonical))
	scope := strings.Join([]string{stamp[:8], region, service, "aws4_request"}, "/")
	derived := mac(mac(mac(mac([]byte("AWS4"+key), stamp[:8]), region), service), "aws4_request")
	return hex.EncodeToString(mac(derived, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(hash[:])))
}

func TestLoginsAreSignedAsAWSPublishesIt(t *testing.T) {
	if got := sign(exampleKey, "20150830T123600Z", "us-east-1", "iam", exampleRequest); got != exampleSignature {
		t.Fatalf("the published example has signature %s here, want %s: this test proves nothing", got, exampleSignature)
	}
	const host, region = "b-1.cluster.abcdef.c2.kafka.us-east-1.amazonaws.com", "us-east-1"
	for name, session := range map[string]string{"keys of a user": "", "keys of a role": "a+session/token=="} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)))
				mechanism := saslaws.Auth{AccessKey: exampleAccess, SecretKey: exampleKey, SessionToken: session}.AsManagedStreamingIAMMechanism()
				_, first, err := mechanism.Authenticate(t.Context(), host+":9098")
				if err != nil {
					t.Fatal(err)
				}
				var payload map[string]string
				if err := json.Unmarshal(first, &payload); err != nil {
					t.Fatal(err)
				}
				query := url.Values{"Action": {"kafka-cluster:Connect"}, "X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-Date": {"20150830T123600Z"},
					"X-Amz-Credential": {exampleAccess + "/20150830/us-east-1/kafka-cluster/aws4_request"}, "X-Amz-Expires": {"900"}, "X-Amz-SignedHeaders": {"host"}}
				if session != "" {
					query.Set("X-Amz-Security-Token", session)
				}
				want := sign(exampleKey, "20150830T123600Z", region, "kafka-cluster", "GET\n/\n"+query.Encode()+"\nhost:"+host+"\n\nhost\n"+emptyBody)
				if payload["x-amz-signature"] != want {
					t.Errorf("the login is signed %s, want %s", payload["x-amz-signature"], want)
				}
				if got := payload["version"] + " " + payload["host"] + " " + payload["action"]; got != "2020_10_22 "+host+" kafka-cluster:Connect" {
					t.Errorf("the login says %q: want the version of the protocol, the broker and the action", got)
				}
				if got := presigned(t, host, region, session); got != want {
					t.Errorf("the SDK's own signer has %s, want %s", got, want)
				}
			})
		})
	}
}

// presigned is the signature that the AWS SDK makes of the same.
func presigned(t *testing.T, host, region, session string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/?Action=kafka-cluster%3AConnect&X-Amz-Expires=900", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	credentials := aws.Credentials{AccessKeyID: exampleAccess, SecretAccessKey: exampleKey, SessionToken: session}
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), credentials, request, emptyBody, "kafka-cluster", region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Query().Get("X-Amz-Signature")
}

func TestCredentialsComeFromTheChainOfTheSDK(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", exampleAccess)
	t.Setenv("AWS_SECRET_ACCESS_KEY", exampleKey)
	t.Setenv("AWS_SESSION_TOKEN", "one")
	c := mskiam.New()
	read := func(want string) {
		t.Helper()
		access, key, session, err := c.Retrieve(t.Context())
		if err != nil || access != exampleAccess || key != exampleKey || session != want {
			t.Errorf("got %q, %q, %q and %v: want what the variables hold, and %q", access, key, session, err, want)
		}
	}
	read("one")
	t.Setenv("AWS_SESSION_TOKEN", "two")
	c.Forget()
	read("two")
}
